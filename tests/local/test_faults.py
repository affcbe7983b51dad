"""Every way in which a launch can fail on AWS can be asked for, at the start and while the engine runs."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.faults import Faults, parse_fault
from tests.local.engine_process import EngineProcess, container, container_states

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def faulty() -> Iterator[EngineProcess]:
    """An engine of this module's own, so that no other test meets its faults."""
    process = EngineProcess()
    yield process
    process.close()


def test_at_its_start_an_engine_is_told_to_throttle_the_first_calls_and_to_delay_launches() -> None:
    engine = EngineProcess("--fault", "throttle=1", "--launch-delay", "0.4-0.6")
    try:
        definition = engine.register(container())
        with pytest.raises(ClientError, match="Rate exceeded") as refusal:
            engine.run_task(definition)
        assert refusal.value.response["Error"]["Code"] == "ThrottlingException"
        began = time.monotonic()
        arn = engine.launch(definition)
        engine.wait(arn, "RUNNING")
        assert 0.4 <= time.monotonic() - began < 20
        engine.stop(arn)
        task = engine.stop(engine.launch(definition))
        assert container_states(task)["main"][:2] == ("STOPPED", None), "it was stopped within the delay"
    finally:
        engine.close()


def test_capacity_comes_as_failures_and_not_as_an_exception(faulty: EngineProcess) -> None:
    assert faulty.set_faults(capacity=1) == {"capacity": 1}
    definition = faulty.register(container(script="true"))
    answer = faulty.run_task(definition)
    assert answer["tasks"] == []
    assert answer["failures"][0]["reason"].startswith("Capacity is unavailable at this time")
    faulty.launch(definition)


def test_the_vcpu_limit_can_be_met(faulty: EngineProcess) -> None:
    faulty.set_faults(quota=1)
    with pytest.raises(ClientError, match="limit on the number of vCPUs"):
        faulty.run_task(faulty.register(container(script="true")))


def test_others_can_be_at_the_registration(faulty: EngineProcess) -> None:
    faulty.set_faults(concurrent_registration=1)
    with pytest.raises(ClientError, match="Too many concurrent attempts"):
        faulty.register(container(script="true"))


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("expired_token", "ExpiredTokenException"),
        ("access_denied", "AccessDeniedException"),
        ("server_error", "ServerException"),
        ("lost_launch", "ServerException"),
    ],
)
def test_a_call_can_be_refused_for_who_makes_it(faulty: EngineProcess, fault: str, code: str) -> None:
    definition = faulty.register(container(script="true"))
    faulty.set_faults(**{fault: 1})
    with pytest.raises(ClientError) as refusal:
        faulty.run_task(definition)
    assert refusal.value.response["Error"]["Code"] == code


def test_a_launch_that_got_a_500_made_its_task_and_its_token_finds_it(faulty: EngineProcess) -> None:
    definition, token = faulty.register(container()), "lost-launch"
    faulty.set_faults(lost_launch=1)
    with pytest.raises(ClientError) as refusal:
        faulty.run_task(definition, clientToken=token, startedBy=token)
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    (made,) = faulty.ecs.list_tasks(cluster="local", startedBy=token)["taskArns"]
    assert faulty.launch(definition, clientToken=token, startedBy=token) == made
    faulty.stop(made)


def test_a_task_that_lives_can_be_told_not_to_be_there_when_it_is_to_be_stopped(faulty: EngineProcess) -> None:
    arn = faulty.launch(faulty.register(container()))
    faulty.set_faults(stop_not_found=1)
    with pytest.raises(ClientError, match="The referenced task was not found"):
        faulty.ecs.stop_task(cluster="local", task=arn)
    faulty.stop(arn)


def test_the_public_address_can_be_late(faulty: EngineProcess) -> None:
    faulty.set_faults(late_address=2)
    try:
        arn = faulty.launch(faulty.register(container()))
        faulty.wait(arn, "RUNNING")
    finally:
        faulty.set_faults(late_address=0)
    with pytest.raises(KeyError, match="Association"):
        faulty.address(arn)
    wait_until(lambda: _has_address(faulty, arn), deadline=30, what="a public address")
    faulty.stop(arn)


def _has_address(faulty: EngineProcess, arn: str) -> str | None:
    try:
        return faulty.address(arn)
    except KeyError:
        return None


def test_a_new_task_can_be_missing_at_first(faulty: EngineProcess) -> None:
    faulty.set_faults(missing=2)
    try:
        arn = faulty.launch(faulty.register(container()))
        answers = [faulty.ecs.describe_tasks(cluster="local", tasks=[arn]) for _ in range(3)]
    finally:
        faulty.set_faults(missing=0)
    assert [[failure["reason"] for failure in answer["failures"]] for answer in answers] == [
        ["MISSING"],
        ["MISSING"],
        [],
    ]
    faulty.stop(arn)


def test_a_task_can_fail_to_start(faulty: EngineProcess) -> None:
    faulty.set_faults(fail_start=1)
    task = faulty.wait(faulty.launch(faulty.register(container())), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"] == "Timeout waiting for network interface provisioning to complete."


def test_a_task_can_die_under_its_user(faulty: EngineProcess) -> None:
    faulty.set_faults(die_after=0.2)
    try:
        task = faulty.wait(faulty.launch(faulty.register(container())), "STOPPED")
    finally:
        faulty.set_faults(die_after=0)
    assert task["stopCode"] == "EssentialContainerExited"
    assert container_states(task)["main"][1] == 137


def test_a_task_can_be_reclaimed_as_by_spot(faulty: EngineProcess) -> None:
    faulty.set_faults(spot_after=0.2)
    try:
        task = faulty.wait(faulty.launch(faulty.register(container())), "STOPPED")
    finally:
        faulty.set_faults(spot_after=0)
    assert (task["stopCode"], task["stoppedReason"]) == ("SpotInterruption", "Your Spot Task was interrupted.")


def test_a_pull_can_be_slow(faulty: EngineProcess) -> None:
    faulty.set_faults(slow_pull=0.5)
    try:
        arn = faulty.launch(faulty.register(container()))
        task = faulty.wait(arn, "RUNNING")
    finally:
        faulty.set_faults(slow_pull=0)
    assert (task["pullStoppedAt"] - task["pullStartedAt"]).total_seconds() >= 0.5
    faulty.stop(arn)


def test_only_the_holder_of_the_secret_key_sets_faults(faulty: EngineProcess) -> None:
    request = urllib.request.Request(faulty.exports["AWS_ENDPOINT_URL"] + "/_engine/faults", data=b'{"throttle": 9}')
    with pytest.raises(urllib.error.HTTPError, match="403") as refusal:
        urllib.request.urlopen(request, timeout=10)
    refusal.value.close()
    assert faulty.set_faults() == {}


def test_nobody_can_empty_the_engine_by_motos_own_pages(faulty: EngineProcess) -> None:
    request = urllib.request.Request(faulty.exports["AWS_ENDPOINT_URL"] + "/moto-api/reset", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="404") as refusal:
        urllib.request.urlopen(request, timeout=10)
    refusal.value.close()


@pytest.mark.parametrize(
    "spec", ["throttle", "throttle=x", "throttle=1.5", "gravity=1", "die-after=-1", "slow-pull=inf"]
)
def test_a_fault_that_makes_no_sense_is_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="fault"):
        parse_fault(spec)


def test_a_counted_fault_is_spent() -> None:
    faults = Faults(["throttle=2"])
    assert [faults.take("throttle") for _ in range(3)] == [True, True, False]
    assert faults.in_force() == {}

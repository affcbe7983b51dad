"""A launched task is watched by one thread, and its trouble is told as soon as ECS tells it."""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig, SshSidecarConfig
from pytest_fargate_sandbox.leaves.errors import StartError
from pytest_fargate_sandbox.leaves.fargate_rules import MISSING_GRACE_SEC
from pytest_fargate_sandbox.leaves.names import SIDECAR_CONTAINER, Cause
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.records.stop_by_hand import stop_by_hand
from pytest_fargate_sandbox.sandbox.task.launched_task import LaunchedTask
from pytest_fargate_sandbox.sandbox.task.poller import Watch
from pytest_fargate_sandbox.sandbox.task.stopping import stop_task
from tests.sandbox.scripted_ecs import ScriptedEcs, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ARN = "arn:aws:ecs:us-east-1:123456789012:task/c/1"
PROVISIONING = {
    "taskArn": ARN,
    "lastStatus": "PROVISIONING",
    "desiredStatus": "RUNNING",
    "containers": [],
    "attachments": [],
}
INTERFACE = {
    "type": "ElasticNetworkInterface",
    "details": [{"name": "networkInterfaceId", "value": "eni-1"}, {"name": "privateIPv4Address", "value": "10.0.0.7"}],
}
PENDING = {**PROVISIONING, "lastStatus": "PENDING", "attachments": [INTERFACE]}
STOPPED = {
    **PENDING,
    "lastStatus": "STOPPED",
    "desiredStatus": "STOPPED",
    "stopCode": "TaskFailedToStart",
    "stoppedReason": "CannotPullContainerError: not found",
}
MISSING = {"tasks": [], "failures": [{"arn": ARN, "reason": "MISSING"}]}
CFG = EcsFargateConfig(
    cluster="c", poll_interval_sec=0.05, startup_timeout_sec=30, ssh_sidecar=SshSidecarConfig(ssh_ready_timeout_sec=0.2)
)


def _told(task: dict[str, Any]) -> dict[str, Any]:
    return {"tasks": [task], "failures": []}


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[..., tuple[LaunchedTask, ScriptedEcs]]]:
    made: list[tuple[LaunchedTask, ScriptedEcs]] = []

    def make(*answers: Any, cfg: EcsFargateConfig = CFG, **others: list[Any]) -> tuple[LaunchedTask, ScriptedEcs]:
        ecs = ScriptedEcs(DescribeTasks=list(answers), **others)
        made.append(
            (LaunchedTask(PROVISIONING, cfg=cfg, aws=ecs.aws(tmp_path), registration={}, patience_sec=0.2), ecs)
        )
        return made[-1]

    yield make
    for task, ecs in made:
        task.unwatch()
        ecs.close()


def test_the_address_is_there_as_soon_as_ecs_knows_it(watched: Callable[..., Any]) -> None:
    task, ecs = watched(MISSING, _told(PROVISIONING), _told(PENDING))
    assert task.wait_for_address() == "10.0.0.7"
    assert len(ecs.asked("DescribeTasks")) == 3


@pytest.mark.parametrize("connect_via", ["auto", "public", "private"])
def test_in_a_subnet_for_ipv6_only_its_address_is_the_one(
    watched: Callable[..., Any], connect_via: Literal["auto", "public", "private"]
) -> None:
    named = {"networkInterfaceId": "eni-1", "subnetId": "subnet-1"}
    details = [{"name": name, "value": value} for name, value in named.items()]
    main = {"name": "main", "lastStatus": "PENDING", "networkInterfaces": [{"ipv6Address": "2001:db8::7"}]}
    attachment = {"type": "ElasticNetworkInterface", "details": details}
    task, ecs = watched(
        _told({**PENDING, "attachments": [attachment], "containers": [main]}),
        cfg=dataclasses.replace(CFG, connect_via=connect_via, assign_public_ip=connect_via != "private"),
    )
    assert task.wait_for_address() == "2001:db8::7"
    assert task.private_address == "2001:db8::7"
    assert ecs.asked("DescribeNetworkInterfaces") == []


def test_where_calls_are_counted_a_task_is_not_asked_for_before_it_can_be_there(tmp_path: Path) -> None:
    ecs = ScriptedEcs(DescribeTasks=[_told(PENDING)])
    began = time.monotonic()
    cfg = replace(CFG, poll_interval_sec=0.4)
    task = LaunchedTask(PROVISIONING, cfg=cfg, aws=ecs.aws(tmp_path), registration={})
    assert task.wait_for_address() == "10.0.0.7"
    assert time.monotonic() - began >= 0.3
    task.unwatch()
    ecs.close()


def test_a_task_that_stops_instead_is_told_with_cause_and_remedy(watched: Callable[..., Any]) -> None:
    task, _ = watched(_told(PROVISIONING), _told(STOPPED))
    with pytest.raises(StartError, match="check the image") as caught:
        task.wait_for_address()
    assert caught.value.cause == Cause.PULL_FAILED
    assert caught.value.phase == "address"
    assert "set `log_group`" in str(caught.value)


def test_who_may_not_describe_tasks_is_told_in_seconds(watched: Callable[..., Any]) -> None:
    task, _ = watched(refusal("AccessDeniedException", "not authorized to perform: ecs:DescribeTasks on x"))
    began = time.monotonic()
    with pytest.raises(StartError, match="ecs:DescribeTasks"):
        task.wait_for_address()
    assert time.monotonic() - began < CFG.startup_timeout_sec / 3


def test_throttling_is_sat_out(watched: Callable[..., Any]) -> None:
    task, _ = watched(refusal("ThrottlingException", "Rate exceeded"), _told(PENDING))
    assert task.wait_for_address() == "10.0.0.7"


def test_a_start_that_takes_too_long_says_what_it_waited_for(watched: Callable[..., Any]) -> None:
    running = {**PENDING, "containers": [{"name": SIDECAR_CONTAINER, "lastStatus": "RUNNING"}]}
    task, _ = watched(_told(running))
    task.wait_for_address()
    task.check_patience("tunnel", SIDECAR_CONTAINER, lambda: "no answer")
    time.sleep(0.25)
    with pytest.raises(StartError, match="no answer\nits container ssh-sidecar has been running") as caught:
        task.check_patience("tunnel", SIDECAR_CONTAINER, lambda: "no answer")
    assert caught.value.transient


def test_patience_is_counted_from_the_launch_while_the_container_is_not_there(watched: Callable[..., Any]) -> None:
    task, _ = watched(_told(PENDING))
    task.wait_for_address()
    time.sleep(0.25)
    task.check_patience("tunnel", SIDECAR_CONTAINER, lambda: "no answer")


def test_the_end_of_a_task_is_told_to_whoever_asked_to_be(watched: Callable[..., Any]) -> None:
    task, _ = watched(_told(PENDING), _told(STOPPED))
    told = threading.Event()
    task.watch.on_ending(told.set)
    assert told.wait(30)
    assert task.loss().cause == Cause.PULL_FAILED


def test_a_stopped_task_stays_stopped_whatever_a_late_answer_says(watched: Callable[..., Any]) -> None:
    task, _ = watched(_told(STOPPED))
    with pytest.raises(StartError):
        task.wait_for_address()
    task.watch.take(PENDING)
    assert task.ending


def test_while_ecs_cannot_be_asked_no_task_is_called_alive_and_the_outage_is_told_once(
    watched: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    task, _ = watched(refusal("AccessDeniedException", "no"))
    assert task.loss(0.3) is None
    assert task.verdict() == f"ECS cannot be asked whether the task {ARN} is alive."
    assert caplog.text.count("AccessDeniedException") == 1  # others of this process may have outages of their own


GONE = refusal("InvalidParameterException", "The referenced task was not found.")


def test_stopping_what_is_gone_is_stopping(watched: Callable[..., Any], tmp_path: Path) -> None:
    _, ecs = watched(_told(PENDING), StopTask=[GONE])
    assert stop_task(ecs.aws(tmp_path), "c", ARN, "why", launched=time.time() - 61)
    assert len(ecs.asked("StopTask")) == 1


def test_a_young_task_that_ecs_does_not_know_yet_is_not_called_stopped(watched: Callable[..., Any]) -> None:
    task, ecs = watched(_told(PENDING), StopTask=[GONE, GONE, {"task": PENDING}])
    assert task.stop()
    assert len(ecs.asked("StopTask")) == 3


def test_a_task_is_as_young_as_it_is_itself_and_not_as_the_one_that_its_start_had_before(
    watched: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ledger, before = Ledger("run"), time.time() - 2 * MISSING_GRACE_SEC
    ledger.write("entry", "launched", task_arn="arn:first", t=before)
    ledger.write("entry", "stopped", task_arn="arn:first", t=before)
    ledger.write("entry", "launched", task_arn=ARN)
    _, ecs = watched(_told(PENDING), StopTask=[GONE, {"task": PENDING}])
    assert stop_by_hand(ledger, ARN, ecs.aws(tmp_path), "c", "why")
    assert len(ecs.asked("StopTask")) == 2


def test_what_cannot_be_stopped_is_logged_with_the_command_that_does_it(
    watched: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, ecs = watched(_told(PENDING), StopTask=[refusal("AccessDeniedException", "no")])
    assert not stop_task(ecs.aws(tmp_path), "c", ARN, "why")
    assert f"aws ecs stop-task --cluster c --task {ARN} --region us-east-1" in caplog.text


def test_all_tasks_of_a_process_are_asked_about_in_one_call(watched: Callable[..., Any]) -> None:
    first, ecs = watched(_told(PROVISIONING))
    other = LaunchedTask({**PROVISIONING, "taskArn": ARN + "2"}, cfg=CFG, aws=first._aws, registration={})
    deadline = time.monotonic() + 5
    while not any(len(call["tasks"]) == 2 for call in ecs.asked("DescribeTasks")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    other.unwatch()


def test_of_many_that_end_at_once_ecs_is_asked_together(tmp_path: Path) -> None:
    arns = [f"{ARN}{number}" for number in range(8)]
    ending, over = (
        {"tasks": [{**STOPPED, "taskArn": arn, "lastStatus": status} for arn in arns], "failures": []}
        for status in ("DEPROVISIONING", "STOPPED")
    )
    ecs = ScriptedEcs(DescribeTasks=[ending, over])
    cfg = replace(CFG, poll_interval_sec=60)
    aws = ecs.aws(tmp_path)
    tasks = [LaunchedTask({**PROVISIONING, "taskArn": arn}, cfg=cfg, aws=aws, registration={}) for arn in arns]
    threads = [threading.Thread(target=task.loss) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {task.loss().cause for task in tasks} == {Cause.PULL_FAILED}
    assert len(ecs.asked("DescribeTasks")) <= 5
    for task in tasks:
        task.unwatch()
    ecs.close()


def test_a_watch_is_put_off_by_the_poller_and_by_who_has_news_at_the_same_moment() -> None:
    watch = Watch(PROVISIONING, 0.05)
    problems: list[Exception] = []

    def put_off() -> None:
        try:
            for _ in range(20_000):
                watch.postpone()
        except ValueError as error:
            problems.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=put_off) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert problems == []

"""With ``--limits aws`` the engine answers as an account that has AWS's buckets of calls and its quota of vCPUs."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from botocore.session import Session

from pytest_fargate_sandbox.local.ecs.account_limits import BUCKETS, AccountLimits
from tests.local.engine_process import EngineProcess, container

if TYPE_CHECKING:
    from collections.abc import Iterator

_ONE_VCPU = {"cpu": "1024", "memory": "2048"}


@pytest.fixture(scope="module")
def limited() -> Iterator[EngineProcess]:
    process = EngineProcess("--limits", "aws", "--vcpus", "2")
    yield process
    process.close()


def _told(engine: EngineProcess) -> dict[str, Any]:
    request = urllib.request.Request(
        engine.exports["AWS_ENDPOINT_URL"] + "/_engine/limits",
        headers={"Authorization": "Bearer " + engine.exports["AWS_SECRET_ACCESS_KEY"]},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        told: dict[str, Any] = json.load(answer)
    return told


def test_a_bucket_has_its_burst_and_then_its_rate() -> None:
    now = 0.0
    limits = AccountLimits(6, clock=lambda: now)
    assert [limits.admit("TagResource") for _ in range(21)] == [True] * 20 + [False]
    now = 1.0
    assert [limits.admit("UntagResource") for _ in range(11)] == [True] * 10 + [False]
    now = 100.0
    assert sum(limits.admit("TagResource") for _ in range(30)) == 20
    bucket = limits.told()["buckets"]["tag modify"]
    assert bucket == {"burst": 20, "per_second": 10, "taken": 50, "refused": 12, "most_used": 20}


def test_run_task_is_held_to_its_own_rate_and_shares_a_bucket_with_stop_task() -> None:
    now = 0.0
    limits = AccountLimits(6, clock=lambda: now)
    assert sum(limits.admit("RunTask") for _ in range(30)) == 20
    assert sum(limits.admit("StopTask") for _ in range(100)) == 80
    now = 1.0
    assert sum(limits.admit("RunTask") for _ in range(30)) == 20
    assert sum(limits.admit("ExecuteCommand") for _ in range(30)) == 20


def test_every_call_of_ours_has_a_bucket_and_every_bucket_has_calls_that_there_are() -> None:
    operations = set(Session().get_service_model("ecs").operation_names)
    known = [operation for bucket in BUCKETS for operation in bucket.operations]
    assert set(known) <= operations
    assert len(known) == len(set(known)) + known.count("RunTask") - 1
    assert {"RunTask", "StopTask", "DescribeTasks", "ListTasks", "RegisterTaskDefinition"} <= set(known)


def test_who_calls_too_often_is_answered_as_aws_answers(limited: EngineProcess) -> None:
    definition = limited.register(container())

    def tag_on_and_on() -> None:
        for number in range(1000):
            limited.ecs.tag_resource(resourceArn=definition, tags=[{"key": "k", "value": str(number)}])

    with pytest.raises(ClientError, match="Rate exceeded") as refusal:
        tag_on_and_on()
    assert refusal.value.response["Error"]["Code"] == "ThrottlingException"
    told = _told(limited)["buckets"]["tag modify"]
    assert told["taken"] >= 20
    assert told["refused"] >= 1


def test_no_more_vcpus_run_at_once_than_the_quota_says(limited: EngineProcess) -> None:
    definition = limited.register(container(), **_ONE_VCPU)
    arns = [limited.launch(definition) for _ in range(2)]
    refused = limited.run_task(definition)
    assert refused["tasks"] == []
    assert "reached the limit on the number of vCPUs you can run concurrently" in refused["failures"][0]["reason"]
    spot = limited.ecs.run_task(
        cluster="local",
        taskDefinition=definition,
        networkConfiguration=limited.network(),
        capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT"}],
    )
    limited.stop(arns[0])
    arns[0] = limited.launch(definition)
    for arn in (*arns, spot["tasks"][0]["taskArn"]):
        limited.stop(arn)
    told = _told(limited)["vcpus"]
    assert (told["on-demand"]["quota"], told["on-demand"]["most_used"]) == (2, 2)
    assert told["on-demand"]["refused"] >= 1
    assert told["spot"] == {"quota": 2, "most_used": 1, "refused": 0}


def test_a_task_of_more_vcpus_than_the_quota_is_told_so(limited: EngineProcess) -> None:
    answer = limited.run_task(limited.register(container(), cpu="4096", memory="8192"))
    assert answer["failures"][0]["reason"] == "The requested CPU configuration is above your limit"


def test_what_was_used_of_the_limits_is_for_the_engines_owner(limited: EngineProcess) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403") as refusal:
        urllib.request.urlopen(limited.exports["AWS_ENDPOINT_URL"] + "/_engine/limits", timeout=10)
    refusal.value.close()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--vcpus", "6"], "--vcpus is the quota of --limits aws, which is not asked for"),
        (["--limits", "aws", "--vcpus", "many"], "'many' is no number of vCPUs, such as 6 or 0.5"),
        (["--limits", "aws", "--vcpus", "0"], "'0' is no number of vCPUs"),
    ],
)
def test_a_quota_that_is_none_is_told(options: list[str], sentence: str) -> None:
    program = [sys.executable, "-m", "pytest_fargate_sandbox.local", *options]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert sentence in ended.stderr

"""Anything said about calls, launches and leaks can be proven from the engine's log."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.local.engine_process import EngineProcess, container

if TYPE_CHECKING:
    from pathlib import Path


_DELAY = 0.4


@dataclass
class Life:
    """Of an engine that has ended, whose log and delay were asked for by the environment; and of a task of it."""

    engine: EngineProcess
    log: Path
    arn: str


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    log = tmp_path_factory.mktemp("engine") / "log.jsonl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARGATE_ENGINE_LOG", str(log))
        patch.setenv("FARGATE_ENGINE_LAUNCH_DELAY", str(_DELAY))
        engine = EngineProcess()
    engine.log = log
    arn = engine.launch(engine.register(container(environment=[{"name": "PASSWORD", "value": "hush"}])), startedBy="me")
    engine.wait(arn, "RUNNING")
    engine.address(arn)
    engine.stop(arn)
    engine.client("s3").create_bucket(Bucket="logged")
    engine.client("s3").put_object(Bucket="logged", Key="k", Body=b"x")
    engine.client("sts").get_caller_identity()
    with pytest.raises(ClientError):
        engine.ecs.describe_task_definition(taskDefinition="ghost")
    engine.close()
    return Life(engine, log, arn)


def test_every_call_is_a_line(life: Life) -> None:
    calls = [(line["service"], line["operation"], line["status"]) for line in life.engine.log_lines("call")]
    for expected in [
        ("ecs", "RegisterTaskDefinition", 200),
        ("ecs", "RunTask", 200),
        ("ecs", "StopTask", 200),
        ("ec2", "DescribeNetworkInterfaces", 200),
        ("s3", "CreateBucket", 200),
        ("s3", "PutObject", 200),
        ("sts", "GetCallerIdentity", 200),
        ("ecs", "DescribeTaskDefinition", 400),
    ]:
        assert calls.count(expected) == 1
    assert all(line["ms"] >= 0 and line["t"] > 0 for line in life.engine.log_lines("call"))


def test_every_transition_is_a_line(life: Life) -> None:
    tasks = [line for line in life.engine.log_lines("task") if line["task"] == life.arn]
    assert tasks[0]["started_by"] == "me"
    assert tasks[-1]["status"] == "STOPPED"
    assert set(tasks[-1]["exit_codes"]) == {"main"}


def test_the_beginning_and_the_end_of_the_engine_are_lines(life: Life) -> None:
    assert [line["event"] for line in life.engine.log_lines("engine")] == ["ready", "ended"]
    assert life.engine.log_lines("engine")[-1]["tasks_cut_off"] == []


def test_it_is_private_and_tells_no_value_of_an_environment(life: Life) -> None:
    assert "hush" not in life.log.read_text()
    assert stat.S_IMODE(life.log.stat().st_mode) == 0o600


def test_a_launch_takes_as_long_as_the_environment_says(life: Life) -> None:
    began = {line["status"]: line["t"] for line in life.engine.log_lines("task")}
    assert began["PENDING"] - began["PROVISIONING"] > 0.9 * _DELAY

"""Anything said about calls, launches and leaks can be proven from the engine's log."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.local.engine_process import EngineProcess, container

if TYPE_CHECKING:
    from pathlib import Path


def test_every_call_and_every_transition_is_a_line(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    engine = EngineProcess(log=log)
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

    calls = [(line["service"], line["operation"], line["status"]) for line in engine.log_lines("call")]
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
    assert all(line["ms"] >= 0 and line["t"] > 0 for line in engine.log_lines("call"))

    tasks = [line for line in engine.log_lines("task") if line["task"] == arn]
    assert tasks[0]["started_by"] == "me"
    assert tasks[-1]["status"] == "STOPPED"
    assert set(tasks[-1]["exit_codes"]) == {"main"}
    assert [line["event"] for line in engine.log_lines("engine")] == ["ready", "ended"]
    assert engine.log_lines("engine")[-1]["tasks_cut_off"] == []
    assert "hush" not in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_the_log_and_the_delay_can_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARGATE_ENGINE_LOG", str(tmp_path / "log.jsonl"))
    monkeypatch.setenv("FARGATE_ENGINE_LAUNCH_DELAY", "60")
    engine = EngineProcess()
    engine.log = tmp_path / "log.jsonl"
    arn = engine.launch(engine.register(container()))
    assert engine.describe(arn)["lastStatus"] == "PROVISIONING"
    engine.stop(arn)
    engine.close()
    assert [line["status"] for line in engine.log_lines("task")] == ["PROVISIONING", "DEPROVISIONING", "STOPPED"]

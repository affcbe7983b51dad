"""Programs of others that use ECS find all they ask for: SWE-ReX, AWS's command line, its SDKs and their waiters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import WaiterError

from tests.components import FOREIGN_CLIENTS
from tests.local.engine_process import ROLE, EngineProcess, container

if TYPE_CHECKING:
    from collections.abc import Mapping

_HERE = Path(__file__).parent
_PACKAGES = "opt/clients"
_TIMEOUT_SEC = 120
_WAIT = "echo said; trap 'exit 0' TERM; while :; do sleep 0.1; done"


def _said_by(engine: EngineProcess, command: list[str], *, given: str = "", **variables: str) -> str:
    environment = {**os.environ, **engine.exports, "AWS_EC2_METADATA_DISABLED": "true", **variables}
    done = subprocess.run(
        command, input=given, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_SEC, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _logged(prefix: str) -> dict[str, Any]:
    options = {"awslogs-group": "/foreign", "awslogs-region": "us-east-1", "awslogs-stream-prefix": prefix}
    return {"logDriver": "awslogs", "options": {**options, "awslogs-create-group": "true"}}


@pytest.mark.long
@pytest.mark.needs("namespaces", "swe-rex")
def test_swe_rex_deploys_to_fargate_as_it_is(tmp_path: Path) -> None:
    """Its image has no SWE-ReX, so that it installs that by apt-get and pipx: these are here what the image brings."""
    programs = tmp_path / "usr/local/bin"
    programs.mkdir(parents=True)
    server = f'shift 2; PYTHONPATH=/{_PACKAGES} exec {Path(sys.executable).resolve()} -m swerex.server "$@"'
    for name, script in (("apt-get", "exit 0"), ("pipx", f'[ "$1" = run ] || exit 0; {server}')):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    engine = EngineProcess("--image", f"python:3.11={tmp_path}:{FOREIGN_CLIENTS / 'root'}:/")
    try:
        python_path = str(FOREIGN_CLIENTS / "root" / _PACKAGES)
        told = _said_by(engine, [sys.executable, str(_HERE / "foreign_rex.py")], PYTHONPATH=python_path)
        [said] = [json.loads(line) for line in told.splitlines() if line.startswith("[")]
        assert [each.strip() for each in said] == ["hello", "kept in /srv", "content"]
        assert engine.ecs.list_tasks(cluster="swe-rex-cluster", desiredStatus="RUNNING")["taskArns"] == []
    finally:
        assert engine.close() == 0


@pytest.mark.long
@pytest.mark.needs("aws")
def test_the_aws_command_line_runs_a_task_waits_for_it_reads_its_log_and_stops_it(engine: EngineProcess) -> None:
    definition = {
        "family": "by-the-command-line",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": ROLE,
        "containerDefinitions": [container(script=_WAIT, logConfiguration=_logged("cli"))],
    }
    where = ["--cluster", "local"]
    network = ["--launch-type", "FARGATE", "--network-configuration", json.dumps(engine.network())]
    asked = [
        ["ecs", "register-task-definition", "--cli-input-json", json.dumps(definition)],
        ["ecs", "run-task", *where, "--task-definition", "by-the-command-line", *network],
        ["ecs", "wait", "tasks-running", *where, "--tasks", "{ARN}"],
        ["ecs", "describe-tasks", *where, "--tasks", "{ARN}"],
        ["ecs", "stop-task", *where, "--task", "{ARN}", "--reason", "seen"],
        ["logs", "get-log-events", "--log-group-name", "/foreign", "--log-stream-name", "cli/main/{ID}"],
        ["ecs", "wait", "tasks-stopped", *where, "--tasks", "{ARN}"],
        ["ecs", "describe-tasks", *where, "--tasks", "{ARN}", "--query", "tasks[0].[lastStatus,stoppedReason]"],
        ["ecs", "list-tasks", "--cluster", "nowhere"],
    ]
    told = _said_by(
        engine,
        [sys.executable, str(_HERE / "foreign_aws.py")],
        given="".join(json.dumps(command) + "\n" for command in asked),
        PYTHONPATH=str(FOREIGN_CLIENTS / "root" / _PACKAGES),
    )
    codes, answers = zip(*map(json.loads, told.splitlines()), strict=True)
    assert codes[:-1] == (0,) * (len(asked) - 1)
    assert codes[-1] in (254, 255), "the cluster is not there"
    assert answers[3]["tasks"][0]["lastStatus"] == "RUNNING"
    assert answers[7] == ["STOPPED", "seen"]
    assert [event["message"] for event in answers[5]["events"]] == ["said"]


@pytest.mark.needs("js-sdk")
def test_the_sdk_for_javascript_runs_a_task_waits_for_it_reads_its_log_and_stops_it(engine: EngineProcess) -> None:
    main = container(script=_WAIT, logConfiguration=_logged("js"))
    given = {
        "taskDefinition": engine.register(main, executionRoleArn=ROLE),
        "networkConfiguration": engine.network(),
        "logGroupName": "/foreign",
    }
    told = _said_by(
        engine,
        ["node", str(_HERE / "foreign_ecs.js"), json.dumps(given)],
        NODE_PATH=str(FOREIGN_CLIENTS / "node_modules"),
    )
    assert json.loads(told) == {
        "running": "RUNNING",
        "said": ["said"],
        "lastStatus": "STOPPED",
        "stoppedReason": "seen",
        "isDate": True,
        "refused": "ClusterNotFoundException",
    }


def test_the_waiters_of_boto3_end_when_it_has_happened_and_tell_what_cannot_happen(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(container(script=_WAIT)))
    asked: Mapping[str, Any] = {"cluster": "local", "tasks": [arn], "WaiterConfig": {"Delay": 0.1, "MaxAttempts": 300}}
    engine.ecs.get_waiter("tasks_running").wait(**asked)
    assert engine.ecs.describe_tasks(cluster="local", tasks=[arn])["tasks"][0]["lastStatus"] == "RUNNING"
    engine.ecs.stop_task(cluster="local", task=arn)
    engine.ecs.get_waiter("tasks_stopped").wait(**asked)
    assert engine.ecs.describe_tasks(cluster="local", tasks=[arn])["tasks"][0]["lastStatus"] == "STOPPED"
    for impossible in (dict(asked), {**asked, "tasks": [arn[:-4] + "0000"]}):
        with pytest.raises(WaiterError, match="terminal failure"):
            engine.ecs.get_waiter("tasks_running").wait(**impossible)

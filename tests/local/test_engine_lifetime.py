"""The engine lives as long as somebody uses it, and leaves nothing behind, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until
from tests.local.engine_process import EngineProcess, alive, container, processes_of, wait_for_end

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OWNER = """
import fcntl, subprocess, sys, time
lock = open(sys.argv[1] + "/users.lock", "w")
fcntl.flock(lock, fcntl.LOCK_SH)
subprocess.Popen([sys.executable, "-m", "pytest_fargate_sandbox.local", "--state", sys.argv[1]], start_new_session=True)
print("held", flush=True)
time.sleep(600)
"""


class Owner:
    """A process that holds the lock and started an engine with the state directory ``state``."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._process = subprocess.Popen([sys.executable, "-c", _OWNER, str(state)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"

    def kill(self) -> None:
        """The engine has its output as well, so that this has no end to be waited for."""
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    owner = Owner(tmp_path)
    yield owner
    owner.kill()


def _facts(state: Path) -> dict[str, Any]:
    path = state / "engine.json"
    return wait_until(
        lambda: json.loads(path.read_text()) if path.exists() else None, deadline=40, what=f"the engine of {state}"
    )


def _launch(facts: dict[str, Any], **fields: Any) -> str:
    keys = {"aws_access_key_id": facts["access_key_id"], "aws_secret_access_key": facts["secret_access_key"]}
    ecs = boto3.client("ecs", endpoint_url=facts["endpoint_url"], region_name=facts["region"], **keys)
    definition = ecs.register_task_definition(
        family="life",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[container()],
        executionRoleArn=facts["execution_role_arn"],
    )["taskDefinition"]["taskDefinitionArn"]
    network = {"awsvpcConfiguration": {"subnets": facts["subnets"][:1], "securityGroups": facts["security_groups"]}}
    request = {"cluster": "local", "launchType": "FARGATE", "networkConfiguration": network}
    arn: str = ecs.run_task(taskDefinition=definition, **request, **fields)["tasks"][0]["taskArn"]

    def running() -> bool | None:
        task = ecs.describe_tasks(cluster="local", tasks=[arn])["tasks"][0]
        return True if task["lastStatus"] == "RUNNING" else None

    wait_until(running, deadline=40, what="the task")
    return arn


@dataclass
class Life:
    """Of an engine with two users: its owner is killed, another goes on for a while, and goes."""

    modes: list[int]
    family: list[int]
    still_ran: bool
    left: list[int]
    has_file: bool


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    state = tmp_path_factory.mktemp("life")
    owner = Owner(state)
    facts = _facts(state)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (state, state / "engine.json")]
    with (state / "users.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        owner.kill()
        _launch(facts)
        family = processes_of(facts["pid"])
        still_ran = facts["pid"] in alive([facts["pid"]])
    with contextlib.suppress(WaitTimeout):
        wait_for_end(family)
    return Life(modes, family, still_ran, alive(family), (state / "engine.json").exists())


def test_engine_json_is_private(life: Life) -> None:
    assert life.modes == [0o700, 0o600]


def test_it_stays_while_anybody_else_uses_it(life: Life) -> None:
    assert life.still_ran


def test_when_nobody_uses_it_any_more_the_engine_and_all_its_processes_end(life: Life) -> None:
    assert len(life.family) > 1
    assert life.left == []
    assert not life.has_file


def test_a_kept_task_keeps_the_engine_and_only_itself(owner: Owner, tmp_path: Path) -> None:
    facts = _facts(tmp_path)
    other = _launch(facts)
    kept = _launch(facts, tags=[{"key": "fargate-sandbox:kept", "value": "true"}])
    owner.kill()
    keys = {"aws_access_key_id": facts["access_key_id"], "aws_secret_access_key": facts["secret_access_key"]}
    ecs = boto3.client("ecs", endpoint_url=facts["endpoint_url"], region_name=facts["region"], **keys)

    def statuses() -> list[str]:
        tasks = ecs.describe_tasks(cluster="local", tasks=[other, kept])["tasks"]
        return [task["lastStatus"] for task in tasks]

    wait_until(lambda: True if statuses()[0] == "STOPPED" else None, deadline=30, what="the end of the other task")
    assert statuses()[1] == "RUNNING"
    ecs.stop_task(cluster="local", task=kept)
    wait_for_end([facts["pid"]])


def test_when_its_directory_has_gone_a_kept_task_keeps_it_no_more(owner: Owner, tmp_path: Path) -> None:
    facts = _facts(tmp_path)
    _launch(facts, tags=[{"key": "fargate-sandbox:kept", "value": "true"}])
    owner.kill()
    shutil.rmtree(tmp_path)
    wait_for_end([facts["pid"]])


def test_what_the_shell_says_of_an_aws_account_does_not_matter(engine: EngineProcess) -> None:
    """That engine's shell names another one."""
    assert engine.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_a_signal_ends_it_with_its_tasks() -> None:
    engine = EngineProcess()
    engine.wait(engine.launch(engine.register(container())), "RUNNING")
    family = processes_of(engine.process.pid)
    assert engine.close() == 0
    assert alive(family) == []


def test_ctrl_c_which_reaches_every_process_at_once_ends_it_in_good_order(tmp_path: Path) -> None:
    engine = EngineProcess(log=tmp_path / "log.jsonl")
    arn = engine.launch(engine.register(container()))
    engine.wait(arn, "RUNNING")
    family = processes_of(engine.process.pid)
    os.killpg(engine.process.pid, signal.SIGINT)
    assert engine.close() == 0
    assert alive(family) == []
    assert engine.log_lines("task")[-1]["exit_codes"] == {"main": 143}


def test_a_port_that_is_taken_is_told_in_one_sentence(tmp_path: Path, engine: EngineProcess) -> None:
    port = engine.exports["AWS_ENDPOINT_URL"].rpartition(":")[2]
    with (tmp_path / "users.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        command = [sys.executable, "-m", "pytest_fargate_sandbox.local", "--state", str(tmp_path), "--port", port]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    told = (tmp_path / "engine.err").read_text()
    assert f"can't listen on 127.0.0.1:{port}" in told
    assert "Traceback" not in told
    assert told.strip() in ended.stderr


@pytest.mark.needs("user namespaces")
def test_loopback_that_is_down_is_told_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest_fargate_sandbox.local", "--state", str(tmp_path)]
    net = ["unshare", "--user", "--map-root-user", "--net"]
    ended = subprocess.run([*net, *command], capture_output=True, text=True, timeout=20, check=False)
    assert ended.returncode == 1
    assert ended.stderr.endswith(
        "nothing reaches 127.0.0.1 here (Network is unreachable), where the engine listens: ip link set lo up\n"
    )
    assert "Traceback" not in ended.stderr


@pytest.mark.needs("user namespaces")
def test_where_nothing_can_run_containers_one_error_says_what_was_tried_and_what_to_do(tmp_path: Path) -> None:
    forbid = "for kind in user mnt net; do echo 0 > /proc/sys/user/max_${kind}_namespaces; done"
    command = shlex.join([sys.executable, "-m", "pytest_fargate_sandbox.local", "--state", str(tmp_path)])
    ended = subprocess.run(
        ["unshare", "--user", "--map-root-user", "/bin/sh", "-c", f"{forbid}; PATH=/nonexistent exec {command}"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    told = (tmp_path / "engine.err").read_text()
    assert told.startswith("The engine found no way to run containers on this machine. Tried:")
    assert all(f"\n  {runner}: " in told for runner in ("namespaces", "podman", "docker"))
    assert "install" in told

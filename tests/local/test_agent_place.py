"""Where an agent of ECS Exec goes, of a container that may have ended since its number was asked for."""

from __future__ import annotations

import json
import socket
import subprocess
import uuid
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.runners.namespaces.agent_place import AgentPlace
from pytest_fargate_sandbox.local.runners.runner_contract import TaskSpec

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner


def _network(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


@pytest.mark.root
def test_it_enters_no_process_of_this_machine_that_has_the_number_of_a_container(runner: NamespacesRunner) -> None:
    infra = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    other = subprocess.Popen(["sleep", "60"])
    spec = TaskSpec(task_id=uuid.uuid4().hex, volumes=(), memory_mib=None, cpu_units=None, gate_port=None)
    try:
        wait_until(lambda: _network(infra.pid) != _network(other.pid) or None, deadline=30, what="a network of its own")
        with closing(runner.open_task(spec, joins=infra.pid)) as task:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with ours, theirs:
                place = AgentPlace(other.pid, {}, "/", (), has_way_out=False)
                task.start_agent("main", theirs, place)
                theirs.close()
                ours.settimeout(30)
                assert "the container is gone" in json.loads(ours.recv(9999))["failed"]
    finally:
        for process in (infra, other):
            process.kill()
            process.wait()

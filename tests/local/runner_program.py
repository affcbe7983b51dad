"""A program that owns a namespaces runner with two tasks in it, for tests that end it in ways no test can end itself.

    python runner_program.py MARKER

prints a JSON line when both run: the scratch directory, the memory group and the tasks' addresses. It lives until its
stdin ends, then closes the runner.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pytest_fargate_sandbox.leaves.names import HOST_IMAGE
from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
from pytest_fargate_sandbox.local.runners.runner_contract import ContainerSpec, TaskSpec

_SERVE = "import socket, time; s = socket.create_server(('', 2222)); time.sleep(float('{marker}'))"
_FORK = "(setsid sleep {marker} &) ; trap '' TERM; chmod 0 /srv; mkdir -m 0 /etc/closed; sleep {marker}; true"


def main() -> None:
    marker = sys.argv[1]
    runner = NamespacesRunner(images={}, gate_address=("127.0.0.1", 1))
    tasks = [runner.open_task(TaskSpec(f"task{number}", ("volume",), 512, None, 4566)) for number in (1, 2)]
    for task in tasks:
        for name, command in (
            ("server", ("python3", "-c", _SERVE.format(marker=marker), marker)),
            ("forker", ("/bin/sh", "-c", _FORK.format(marker=marker))),
        ):
            spec = ContainerSpec(name, HOST_IMAGE, None, command, {}, memory_mib=256)
            task.start(spec, lambda _: None, lambda _: None)
    scratch = runner._scratch.path
    note = scratch / "control-group"
    started = {
        "scratch": str(scratch),
        "control_groups": note.read_text().splitlines() if note.exists() else [],
        "launcher": runner._launcher.pid,
        "addresses": [task.address for task in tasks],
    }
    print(json.dumps(started), flush=True)
    sys.stdin.read()
    runner.close()
    assert not Path(scratch).exists()


if __name__ == "__main__":
    main()

"""What the namespaces runner promises it keeps without root: the same tests again, as somebody without any right."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.as_it_stands import nobody_else_changes_the_host
from tests.local.unprivileged import Somebody

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.needs("another user", "busybox", "sshd")]

_FILES = (
    "local/test_namespaces.py",
    "local/test_namespaces_hostile.py",
    "local/test_namespaces_leaks.py",
    "local/test_namespaces_network.py",
    "local/test_namespaces_sidecar.py",
    "local/test_scratch.py",
    "local/ssm/test_agent_process.py",
    "sandbox/test_fargate_conformance.py",
)
_OF_USERS = "user or touched or memory or tree or directory or odd or mode_and_time or a_result"
"""What of a sandbox's behaviour has to do with whose its processes and files are; and whether it works at all."""
_FOR_EVERYBODY = (
    "is_not_swept or launcher_that or engine_and_launcher or no_descriptor or environment1 or much_to_move"
    f" or (a_sandbox_on_fargate and not ({_OF_USERS}))"
)
"""Says nothing about users, and has been run already."""


@pytest.fixture(scope="module")
def somebody() -> Iterator[Somebody]:
    """His directory is not under pytest's own, which nobody else may enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Somebody(Path(directory) / "home")


_TWO_TASKS = """
import sys
from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
from tests.local.running_tasks import RunningTasks
tasks = RunningTasks(NamespacesRunner(images={}, gate_address=("127.0.0.1", 1)))
try:
    for _ in range(2):
        print(tasks.run(f"ls {sys.argv[1]}"), flush=True)
        input()
finally:
    tasks.close()
    tasks.runner.close()
"""
"""Of one runner, which has looked at the host before the first."""


def test_what_is_hidden_and_goes_keeps_no_later_task_from_starting(somebody: Somebody) -> None:
    with nobody_else_changes_the_host(), tempfile.TemporaryDirectory(dir="/opt") as directory:
        Path(directory).chmod(0o755)
        closed = Path(directory, "closed")
        closed.write_text("for root alone")
        closed.chmod(0o600)
        tasks = subprocess.Popen(
            somebody.command("-c", _TWO_TASKS, directory),
            env=somebody.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert tasks.stdout
        assert tasks.stdout.readline() == "(0, 'closed\\n')\n"
        closed.unlink()
        assert tasks.communicate("\n\n", timeout=60)[0] == "(0, '')\n"


@pytest.mark.long
def test_without_root(somebody: Somebody) -> None:
    options = ["-q", "-p", "no:cacheprovider", "-n", "0", f"--basetemp={somebody.home / 'temporary'}"]
    chosen = ["-k", f"not ({_FOR_EVERYBODY})", *(f"tests/{name}" for name in _FILES)]
    done = somebody.run("-m", "pytest", *options, *chosen, timeout=400)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout

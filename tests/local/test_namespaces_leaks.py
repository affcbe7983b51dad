"""Nothing of a task outlives its engine: no process, mount, directory, socket or cgroup, however the engine ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.names import LOST_HOLDER
from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
from pytest_fargate_sandbox.local.runners.runner_contract import CannotStart, ContainerExit, ContainerSpec, TaskSpec
from tests.local.engine_process import alive, processes_of, wait_for_end
from tests.processes import children

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.needs("namespaces")


class Program:
    """``runner_program``, and how to see what is left of it."""

    def __init__(self) -> None:
        self.marker = f"{int.from_bytes(os.urandom(3), 'big') + 100000}.5"
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "runner_program.py"), self.marker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the program did not start"
        self.started: dict[str, Any] = json.loads(line)
        wait_until(self._all_run, deadline=30, what="the containers' processes")

    def _all_run(self) -> bool | None:
        alive = self.processes()
        if len(alive) < 8:
            raise NotYet(f"{len(alive)} of 8 run")
        return True

    def processes(self) -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if self.marker.encode() in command and int(process.name) != self.process.pid:
                found.append(process.name)
        return found

    def assert_nothing_left(self) -> None:
        wait_until(self._nothing_left, deadline=20, what="the end of all that the engine started")
        for address in self.started["addresses"]:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, 2222))

    def _nothing_left(self) -> bool | None:
        scratch, groups = Path(self.started["scratch"]), self.started["control_groups"]
        left = {
            "processes": self.processes(),
            "scratch": scratch.exists(),
            "cgroups": [group for group in groups if Path(group).exists()],
            "mounts": str(scratch) in Path("/proc/self/mountinfo").read_text(),
        }
        if any(left.values()):
            raise NotYet(str(left))
        return True

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture
def program() -> Iterator[Program]:
    program = Program()
    yield program
    program.close()


def test_an_engine_that_lives_is_not_swept_and_nothing_is_left_when_its_runner_is_closed(program: Program) -> None:
    NamespacesRunner(images={}, gate_address=("127.0.0.1", 1)).close()
    assert Path(program.started["scratch"]).exists()
    assert len(program.processes()) == 8
    program.close()
    assert program.process.returncode == 0
    program.assert_nothing_left()


def test_nothing_is_left_when_the_engine_is_killed(program: Program) -> None:
    program.process.send_signal(signal.SIGKILL)
    program.process.wait(30)
    program.assert_nothing_left()


def test_no_process_is_left_when_engine_and_launcher_are_killed_and_the_next_start_sweeps(program: Program) -> None:
    os.kill(program.started["launcher"], signal.SIGKILL)
    program.process.send_signal(signal.SIGKILL)
    program.process.wait(30)
    wait_until(lambda: None if program.processes() else True, deadline=20, what="the end of all processes")
    assert Path(program.started["scratch"]).exists()
    NamespacesRunner(images={}, gate_address=("127.0.0.1", 1)).close()
    program.assert_nothing_left()


@pytest.mark.long
def test_a_launcher_that_was_killed_or_stopped_is_replaced_and_a_holder_that_is_stopped_is_not_waited_for() -> None:
    runner = NamespacesRunner(images={}, gate_address=("127.0.0.1", 1))
    try:
        task = runner.open_task(TaskSpec("task", (), None, None, None))
        exits: list[ContainerExit] = []
        spec = ContainerSpec("main", "host", None, ("sleep", "60"), {})
        task.start(spec, lambda _: None, exits.append)
        os.kill(runner._launcher.pid, signal.SIGKILL)
        another = runner.open_task(TaskSpec("another", (), None, None, None))
        another.start(spec, lambda _: None, exits.append)
        wait_until(lambda: exits or None, deadline=20, what="the exit")
        assert exits == [ContainerExit(137, reason=LOST_HOLDER)]
        with pytest.raises(CannotStart, match="is gone"):
            task.start(spec, lambda _: None, exits.append)

        os.kill(runner._launcher.pid, signal.SIGSTOP)
        third = runner.open_task(TaskSpec("third", (), None, None, None))
        third.start(spec, lambda _: None, exits.append)
        wait_until(lambda: exits[1:] or None, deadline=20, what="the exit of the second")
        family = processes_of(runner._launcher.pid)
        os.kill(children(runner._launcher.pid)[0], signal.SIGSTOP)  # so that it does not do what it is told
    finally:
        runner.close()
    assert len(family) >= 3
    assert alive(family) == []


def test_a_launcher_that_is_stopped_ends_with_the_next_engines_start(program: Program) -> None:
    """Those that hold tasks hear of the engine's end for themselves; it does not while it is stopped."""
    os.kill(program.started["launcher"], signal.SIGSTOP)
    program.process.send_signal(signal.SIGKILL)
    program.process.wait(30)
    assert alive([program.started["launcher"]])
    NamespacesRunner(images={}, gate_address=("127.0.0.1", 1)).close()
    wait_for_end([program.started["launcher"]])
    program.assert_nothing_left()


def test_no_descriptor_of_the_engine_is_left_after_a_task() -> None:
    runner = NamespacesRunner(images={}, gate_address=("127.0.0.1", 1))
    try:
        counts = []
        for number in range(4):
            task = runner.open_task(TaskSpec(f"task{number}", (), None, None, 4566))
            task.start(ContainerSpec("main", "host", None, ("true",), {}), lambda _: None, lambda _: None)
            task.close()
            counts.append(len(list(Path("/proc/self/fd").iterdir())))
        assert counts[1] == counts[-1]
    finally:
        runner.close()

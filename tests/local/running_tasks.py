"""Tasks on a real namespaces runner, opened for a test and closed after it."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.names import HOST_IMAGE
from pytest_fargate_sandbox.local.runners.runner_contract import ContainerExit, ContainerSpec, TaskSpec

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.runners.runner_contract import Runner, RunningTask

PATIENCE = 30.0


@dataclass
class StartedContainer:
    """What a container has said so far, and how it ended."""

    task: RunningTask
    name: str
    chunks: list[bytes] = field(default_factory=list)
    exits: list[ContainerExit] = field(default_factory=list)
    _gone: threading.Event = field(default_factory=threading.Event)
    _said: threading.Condition = field(default_factory=threading.Condition)

    def on_output(self, chunk: bytes) -> None:
        with self._said:
            self.chunks.append(chunk)
            self._said.notify_all()

    def on_exit(self, end: ContainerExit) -> None:
        self.exits.append(end)
        self._gone.set()

    @property
    def output(self) -> str:
        return b"".join(self.chunks).decode()

    def wait(self) -> ContainerExit:
        assert self._gone.wait(PATIENCE), f"still running; so far it said {self.output!r}"
        return self.exits[0]

    def wait_for(self, text: str) -> None:
        with self._said:
            assert self._said.wait_for(lambda: text in self.output, PATIENCE), f"it said {self.output!r}"


class RunningTasks:
    """Opens tasks one after another, each with a name of its own."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self._open: list[RunningTask] = []

    def open(self, **fields: Any) -> RunningTask:
        given = {"volumes": (), "memory_mib": None, "cpu_units": None, "gate_port": None} | fields
        task = self.runner.open_task(TaskSpec(task_id=uuid.uuid4().hex, **given))
        self._open.append(task)
        return task

    def start(self, *argv: str, task: RunningTask | None = None, name: str = "main", **fields: Any) -> StartedContainer:
        given: dict[str, Any] = {"image": HOST_IMAGE, "entry_point": None, "command": argv, "environment": {}} | fields
        started = StartedContainer(task or self.open(), name)
        started.task.start(ContainerSpec(name=name, **given), started.on_output, started.on_exit)
        return started

    def shell(self, script: str, **fields: Any) -> StartedContainer:
        return self.start("/bin/sh", "-c", script, **fields)

    def run(self, script: str, **fields: Any) -> tuple[int | None, str]:
        """The exit code and the output of a shell script in a container."""
        started = self.shell(script, **fields)
        return started.wait().code, started.output

    def close(self) -> None:
        for task in self._open:
            task.close()

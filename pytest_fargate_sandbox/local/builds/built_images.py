"""Images that CodeBuild built here, on an engine whose own runner cannot run them.

The namespaces runner takes directories. What podman or docker built lives in that program's own store, so a task of
such an image runs there, and everything else where it always does.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.runner_contract import Runner, RunningTask, TaskSpec


class RunnerWithBuilds:
    """A runner, and beside it the one of the program that built; that one is made when a task first needs it."""

    def __init__(self, runner: Runner, open_other: Callable[[str], Runner]) -> None:
        self.name = runner.name
        self._runner = runner
        self._open_other = open_other
        self._other: Runner | None = None
        self._built: dict[str, str] = {}
        self._lock = threading.Lock()

    def note_built(self, image: str, program: str) -> None:
        """``image`` is in the store of ``program`` from now on."""
        self._built[image] = program

    def pull(self, image: str) -> None:
        self._runner_of((image,)).pull(image)

    def open_task(self, spec: TaskSpec) -> RunningTask:
        return self._runner_of(spec.images).open_task(spec)

    def close(self) -> None:
        for runner in (self._other, self._runner):
            if runner is not None:
                runner.close()

    def _runner_of(self, images: tuple[str, ...]) -> Runner:
        program = next((self._built[image] for image in images if image in self._built), self.name)
        if program == self.name:
            return self._runner
        with self._lock:
            if self._other is None:
                self._other = self._open_other(program)
            return self._other

"""Which runner a task goes to, by its images, where an engine has more than one.

The namespaces runner takes directories: the image ``host``, and what ``--image`` maps. Whatever else a task names runs
in podman or docker, and so does what one of them has built, which lies in that program's own store.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import HOST_IMAGE, SIDECAR_REFERENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pytest_fargate_sandbox.local.runners.runner_contract import Runner, RunningTask, TaskSpec


class RunnerByImages:
    """The engine's own runner, and beside it that of another program, made when a task first needs it."""

    def __init__(
        self,
        runner: Runner,
        open_other: Callable[[str], Runner],
        *,
        directories: Collection[str],
        for_the_rest: Callable[[], str | None],
    ) -> None:
        """``for_the_rest`` names the program for images that are no ``directories``; None: the runner itself."""
        self.name = runner.name
        self._runner = runner
        self._open_other = open_other
        self._directories = {HOST_IMAGE, SIDECAR_REFERENCE, *directories}
        self._for_the_rest = for_the_rest
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
        program = self._program_of(images)
        if program == self.name:
            return self._runner
        with self._lock:
            if self._other is None:
                self._other = self._open_other(program)
            return self._other

    def _program_of(self, images: tuple[str, ...]) -> str:
        built = next((self._built[image] for image in images if image in self._built), None)
        if built is not None or self._directories.issuperset(images):
            return built or self.name
        return self._for_the_rest() or self.name

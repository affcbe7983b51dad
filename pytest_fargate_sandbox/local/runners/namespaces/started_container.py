"""A container that was started: who is told of its output and its end, and what has to be put away after it."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.runner_contract import ContainerExit

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.container_output import ContainerOutput
    from pytest_fargate_sandbox.local.runners.namespaces.control_group import ControlGroup

KILLED = 128 + signal.SIGKILL
_START_SEC = 60.0
"""As long as a holder has for its answer."""


class StartedContainer:
    def __init__(
        self, output: ContainerOutput, on_exit: Callable[[ContainerExit], None], group: ControlGroup | None
    ) -> None:
        self._output = output
        self._on_exit = on_exit
        self._group = group
        self.started = threading.Event()
        self.gone = threading.Event()

    def finish(self, code: int, reason: str) -> None:
        """From the loop's thread, which must not wait: what the engine does about an exit may call us again."""
        self._output.finish()
        end = ContainerExit(code, reason=reason)
        if code == KILLED and self._group and self._group.kills():
            end = ContainerExit(code, True, "OutOfMemoryError: Container killed due to memory usage")
        self.gone.set()
        threading.Thread(target=self._tell_exit, args=(end,), name="container-exit", daemon=True).start()

    def _tell_exit(self, end: ContainerExit) -> None:
        if not self.started.wait(_START_SEC):
            return  # it never started, which its starter has been told
        if self._group:
            self._group.remove()
        self._on_exit(end)

    def discard(self) -> None:
        self._output.finish()
        if self._group:
            self._group.remove()

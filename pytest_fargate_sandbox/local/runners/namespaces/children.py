"""The holder's children, each with what is to be done at its end, and orphans that nobody expects.

An orphan must be reaped as well: a process that entered a container for a check, and lost its parent, comes to the
holder as the first process of the task, and until it is reaped the kernel lets the container's own end wait.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop


class Children:
    """Reaps every child as it ends."""

    def __init__(self, loop: Loop) -> None:
        self._on_end: dict[int, Callable[[int], None]] = {}
        self._bell, bell_rope = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(bell_rope, warn_on_full_buffer=False)
        loop.watch(self._bell, self._reap)

    def expect(self, pid: int, on_end: Callable[[int], None]) -> None:
        """Call with the exit code, or 128 and the number of the signal, when this child has ended."""
        self._on_end[pid] = on_end

    def _reap(self) -> None:
        os.read(self._bell, 1024)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            on_end = self._on_end.pop(pid, None)
            if on_end:
                on_end(exit_code(status))


def exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code

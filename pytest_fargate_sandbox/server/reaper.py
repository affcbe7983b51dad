"""The one owner of ``wait``: a second one would steal results, and nobody would ever know which."""

import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_LOOK_AGAIN_SEC = 30.0
"""A process that was brought into the container from outside may become ours while we have no child to wait for."""


class Reaper:
    """Waits for all children, our own and those left to us, and tells who asked."""

    def __init__(self) -> None:
        # Held from before a child exists until it is known here, so that no death comes too early.
        self.births = threading.Lock()
        self._heirs: "dict[int, Callable[[int], None]]" = {}
        self._born = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._wait_for_ever, name="reaper", daemon=True).start()

    def expect(self, pid: int, heir: "Callable[[int], None]") -> None:
        """Call ``heir`` with the wait status of this child; the caller holds ``births``."""
        self._heirs[pid] = heir
        self._born.set()

    def disown(self, pid: int) -> None:
        with self.births:
            self._heirs.pop(pid, None)

    def signal(self, pid: int, number: int) -> bool:
        """Send a signal unless the child is dead already: its number may be somebody else's by now."""
        with self.births:
            if pid not in self._heirs:
                return False
            os.kill(pid, number)
            return True

    def _wait_for_ever(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                self._born.wait(_LOOK_AGAIN_SEC)
                self._born.clear()
                continue
            with self.births:
                heir = self._heirs.pop(pid, None)
            if heir:
                heir(status)

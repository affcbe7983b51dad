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
        self._on_exit: "dict[int, Callable[[int], None]]" = {}
        # Who died before anybody knew them: a child that was quicker than its parent, or an orphan.
        self._early: "dict[int, int]" = {}
        self._table = threading.Lock()
        self._born = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._wait_for_ever, name="reaper", daemon=True).start()

    def prepare(self) -> None:
        """A child is about to be born. One at a time, so that the early dead can only be this one or orphans."""
        with self._table:
            self._early.clear()

    def expect(self, pid: int, on_exit: "Callable[[int], None]") -> None:
        """Call ``on_exit`` with the wait status of this child, which was born after ``prepare``."""
        with self._table:
            status = self._early.pop(pid, None)
            if status is None:
                self._on_exit[pid] = on_exit
        self._born.set()
        if status is not None:
            on_exit(status)

    def disown(self, pid: int) -> None:
        with self._table:
            self._on_exit.pop(pid, None)

    def signal(self, pid: int, number: int) -> None:
        """Send a signal unless the child is dead already: its number may be somebody else's by now."""
        with self._table:
            if pid in self._on_exit:
                os.kill(pid, number)

    def _wait_for_ever(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, 0)
            except ChildProcessError:
                self._born.wait(_LOOK_AGAIN_SEC)
                self._born.clear()
                continue
            with self._table:
                on_exit = self._on_exit.pop(pid, None)
                if on_exit is None:
                    self._early[pid] = status
            if on_exit:
                on_exit(status)

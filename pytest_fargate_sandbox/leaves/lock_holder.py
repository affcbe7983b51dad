"""Who has a lock that somebody waits for: one that was stopped (SIGSTOP, Ctrl-Z) gives nothing back."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import StartTimeout
from pytest_fargate_sandbox.leaves.process_identity import is_stopped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_SEC = 86400.0
"""For what may take long by right: a build, an upload, what is made once for all."""

STOPPED_SEC = 15.0
"""So long a process that was stopped is waited for: somebody may let it go on."""

_FORGOTTEN_SEC = 60.0
"""Whom nobody has looked at for so long may have gone on meanwhile, and been stopped anew."""

_stopped: dict[int, tuple[float, float]] = {}
"""Since when each has been seen like that, by whoever has waited here, and when last: it is waited for once."""


class Waiting:
    """For the lock of a file, at most ``longest_sec`` and for nobody who was stopped; ``what`` it is of is told."""

    def __init__(self, path: Path, what: str, longest_sec: float = LONGEST_SEC) -> None:
        self._path, self._what, self._longest_sec = path, what, longest_sec
        self._began = time.monotonic()

    def look(self) -> None:
        """To be called now and then. Raises ``StartTimeout`` with who has it."""
        problem = self.problem()
        if problem:
            raise StartTimeout(problem, phase="waiting", reason=problem, transient=True)

    def problem(self) -> str:
        now = time.monotonic()
        holders = list(_holders_of(self._path))
        for pid in holders:
            if not is_stopped(pid):
                _stopped.pop(pid, None)  # another thread that waits may have seen the same
                continue
            since, seen = _stopped.get(pid, (now, now))
            since = now if now - seen > _FORGOTTEN_SEC else since
            _stopped[pid] = since, now
            if now - since >= STOPPED_SEC:
                return (
                    f"{self._what} is held by process {pid}, which was stopped: let it go on (kill -CONT {pid}), or "
                    "end it"
                )
        if now - self._began < self._longest_sec:
            return ""
        who = f"process {holders[0]}" if holders else "another process"
        return f"{self._what} is held by {who} for more than {self._longest_sec:.0f} s: end it ({self._path})"


def _holders_of(path: Path) -> Iterator[int]:
    """Those that the kernel tells of. https://man7.org/linux/man-pages/man5/proc_locks.5.html"""
    try:
        inode = str(path.stat().st_ino)
        with open("/proc/locks", encoding="ascii", errors="replace") as locks:  # noqa: PTH123 - no file
            rows = [line.split() for line in locks]
    except OSError:
        return
    for row in rows:
        # 1: FLOCK ADVISORY WRITE 815 fd:01:4711 0 EOF; who waits has an arrow in the second column
        if len(row) == 8 and row[1] == "FLOCK" and row[5].rpartition(":")[2] == inode and int(row[4]) != os.getpid():
            yield int(row[4])

"""Locks between processes, and between threads: flock(2), which the kernel drops with its process."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.waiting import pauses

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from typing_extensions import Self

_FIRST_PAUSE_SEC, _LONGEST_PAUSE_SEC = 0.002, 0.05


class Timeout(TimeoutError):
    """Somebody else has had the lock all the time."""


class FileLock:
    """``with FileLock(path):`` waits for the lock, for ``timeout`` seconds at most. One object is for one holder.

    Its directory has to be there. The file stays, or of two who come next each could have one of his own.
    """

    def __init__(self, path: Path, *, timeout: float | None = None) -> None:
        self._path = path
        self._timeout = timeout
        self._descriptor = -1

    def acquire(self) -> None:
        """Raises ``Timeout``."""
        while self._descriptor < 0:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._lock(descriptor)
                if _is_still_at(self._path, descriptor):  # who removes the directory's files may have come between
                    self._descriptor, descriptor = descriptor, -1
            finally:
                if descriptor >= 0:
                    os.close(descriptor)

    def release(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked meanwhile has the descriptor too
        os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        if self._timeout is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return
        end, rests = time.monotonic() + self._timeout, pauses(_FIRST_PAUSE_SEC, _LONGEST_PAUSE_SEC)
        while not taken_at_once(descriptor):
            left = end - time.monotonic()
            if left <= 0:
                raise Timeout(f"somebody has locked {self._path}")
            time.sleep(min(next(rests), left))

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: Any) -> None:
        self.release()


def taken_at_once(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Whether it is ours now, as long as the descriptor is open; another may have it. ``kind``: or ``LOCK_SH``."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_still_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))  # noqa: PTH116
    except FileNotFoundError:
        return False

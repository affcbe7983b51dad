"""Directories under ``$TMPDIR`` that go with the process that made them: at the latest, when the next one is made.

A process holds a lock on a file of its directory as long as it lives; a SIGKILL leaves the directory, and no lock.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

from pytest_fargate_sandbox.leaves.names import TEMPORARY_PREFIX

_LOCK = ".in-use"


class TemporaryDirectory:
    """A directory of this process's own, for its user alone; ``kind`` is a part of its name."""

    def __init__(self, kind: str = "") -> None:
        _sweep(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX + kind))
        draft = self.path / f"{_LOCK}.new"
        self._lock: int | None = os.open(draft, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        draft.rename(self.path / _LOCK)  # locked already, or another's sweep could be first

    def remove(self) -> bool:
        """Whether nothing is left. Again if something is: a thread may still write into it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self.path.exists():
            return False
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        return True


def _sweep(temporary: Path) -> None:
    for directory in temporary.glob(f"{TEMPORARY_PREFIX}*"):
        lock = _lock_abandoned(directory)
        if lock is not None:
            shutil.rmtree(directory, ignore_errors=True)
            os.close(lock)


def _lock_abandoned(directory: Path) -> int | None:
    """Its lock, if it is ours to remove. Anybody may have put anything there: nothing is followed."""
    try:
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return None
        lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock

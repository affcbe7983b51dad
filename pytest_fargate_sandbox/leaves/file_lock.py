"""Locks between processes. Of each that is taken and given back filelock has a line: hundreds in a report at DEBUG."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from pytest_fargate_sandbox.leaves.lock_holder import LONGEST_SEC, Waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FileLock", "Timeout", "patiently"]

_LOOK_SEC = 1.0

_log = logging.getLogger("filelock")
if _log.level == logging.NOTSET:
    _log.setLevel(logging.WARNING)


@contextlib.contextmanager
def patiently(lock: FileLock, what: str, *, longest_sec: float = LONGEST_SEC, poll_sec: float = 0.05) -> Iterator[None]:
    """Hold it. What others do under it may take long; but one that was stopped, or has it for ever, is told.

    Raises ``StartTimeout``; ``what`` it is of is the beginning of that sentence.
    """
    waiting: Waiting | None = None
    while True:
        try:
            lock.acquire(timeout=min(_LOOK_SEC, longest_sec), poll_interval=poll_sec)
            break
        except Timeout:
            waiting = waiting or Waiting(Path(lock.lock_file), what, longest_sec - _LOOK_SEC)
            waiting.look()
    try:
        yield
    finally:
        lock.release()

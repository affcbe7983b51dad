"""Locks that a process has as long as it has the descriptor open: whatever ends it gives them back."""

from __future__ import annotations

import fcntl


def taken_at_once(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Whether it is ours now; another may have it. ``kind`` is ``LOCK_EX`` or ``LOCK_SH``."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

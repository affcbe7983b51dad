"""A lock of the kernel's on a file that is open already: taken at once, or not at all."""

from __future__ import annotations

import fcntl


def taken_at_once(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Whether it is ours now, as long as the descriptor is open; another may have it. ``kind``: or ``LOCK_SH``."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

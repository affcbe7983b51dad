"""What a fork inherits without wanting it."""

from __future__ import annotations

import os

_STANDARD = 2


def close_inherited(*kept: int) -> None:
    """All descriptors but the standard ones and ``kept``. (``os.closerange`` is a million calls on an older libc.)"""
    for descriptor in [int(name) for name in os.listdir("/proc/self/fd")]:  # noqa: PTH208 - in a hurry
        if descriptor > _STANDARD and descriptor not in kept:
            try:
                os.close(descriptor)
            except OSError:  # the one that listed them
                pass

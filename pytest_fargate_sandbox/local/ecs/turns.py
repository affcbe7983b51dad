"""Tasks come up one after another while the processors are busy.

Started all at once they share the processors, and all are ready late; in turn, the first is ready while the last still
waits, and whoever asked first goes on first.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from pathlib import Path

from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until

_LEAST_SEC = 0.01
"""A task that was let go needs a moment until it shows as busy."""
_MOST_SEC = 0.15
"""About what a small container needs to come up. Others may keep the machine busy for ever: nobody waits for them."""

_queue: deque[threading.Event] = deque()
_lock = threading.Lock()


def wait_for_turn() -> None:
    """Return when all who asked before have gone, and their work is done or has had its time."""
    mine = threading.Event()
    with _lock:
        _queue.append(mine)
        _queue[0].set()
    mine.wait()
    try:
        _wait_for_a_free_processor()
    finally:
        with _lock:
            _queue.popleft()
            if _queue:
                _queue[0].set()


def _wait_for_a_free_processor() -> None:
    time.sleep(_LEAST_SEC)
    with contextlib.suppress(WaitTimeout):
        wait_until(lambda: None if _busy() else True, deadline=_MOST_SEC, what="a free processor", longest_pause=0.02)


def _busy() -> bool:
    """Whether every processor has something to do; where nobody says, none has."""
    try:
        running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):
        return False
    return running - 1 >= (os.cpu_count() or 1)  # one of them is this very thread

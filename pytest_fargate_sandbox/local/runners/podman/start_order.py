"""Who starts containers next, where more are asked for than the processors can do at once.

A start takes most of a second of a processor's time, and more while it is asked again and again how far it is. Begun
all at once all are ready late; in the order of their tasks, the first task is ready while the last still waits.
"""

from __future__ import annotations

import heapq
import itertools
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_SEC = 3.0
"""One that takes longer waits for something else, and makes room for the next while it goes on."""


class StartOrder:
    """So many at once; of those that wait, the task with the lowest number first."""

    def __init__(self, at_once: int, most_sec: float = _MOST_SEC) -> None:
        self._at_once, self._most_sec = at_once, most_sec
        self._changed = threading.Condition()
        self._waiting: list[tuple[int, int]] = []
        self._at_work: dict[tuple[int, int], float] = {}
        """Until when each takes up room."""
        self._arrivals = itertools.count()

    @contextmanager
    def turn(self, task: int) -> Iterator[None]:
        mine = (task, next(self._arrivals))
        with self._changed:
            heapq.heappush(self._waiting, mine)
            while (pause := self._pause(mine)) is None or pause > 0:
                self._changed.wait(pause)
            heapq.heappop(self._waiting)
            self._at_work[mine] = time.monotonic() + self._most_sec
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                del self._at_work[mine]
                self._changed.notify_all()

    def _pause(self, mine: tuple[int, int]) -> float | None:
        """How long to wait at most until it is looked again: 0 where it is its turn, None until something changes."""
        if self._waiting[0] != mine:
            return None
        ends = sorted(self._at_work.values())[-self._at_once :]
        return max(0.0, ends[0] - time.monotonic()) if len(ends) == self._at_once else 0.0


START_ORDER = StartOrder(2 * (os.cpu_count() or 1))
"""One for all tasks of an engine, since they share its machine. Twice as many as it has processors: a start waits now
and then, and with fewer the last of ten was ready later than without any order."""

"""The holder's event loop: descriptors by epoll, and a few timers. One thread, no imports after it runs."""

from __future__ import annotations

import heapq
import itertools
import os
import select
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT
EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


class Loop:
    """Calls back when a descriptor is ready or a moment has come.

    What a callback raises ends the loop, unless ``on_error`` takes it.
    """

    def __init__(self, on_error: Callable[[], None] | None = None) -> None:
        self._on_error = on_error
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._running = True
        self._alarm = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.watch(self._alarm, lambda: None)

    def watch(self, descriptor: int, callback: Callable[[], None], events: int = READABLE) -> None:
        self._callbacks[descriptor] = callback
        self._epoll.register(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Before the descriptor is closed."""
        if self._callbacks.pop(descriptor, None):
            self._epoll.unregister(descriptor)

    def call_later(self, delay: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._order), callback))

    def run(self) -> None:
        """Until ``stop``."""
        while self._running:
            for descriptor, _ in self._epoll.poll(self._next_timer()):
                callback = self._callbacks.get(descriptor)
                if callback:  # else an earlier callback of this round has closed it
                    self._call(callback)
            self._call_due_timers()

    def stop(self) -> None:
        """From any thread."""
        self._running = False
        os.eventfd_write(self._alarm, 1)

    def close(self) -> None:
        """When it no longer runs."""
        self._epoll.close()
        os.close(self._alarm)

    def _next_timer(self) -> float:
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1

    def _call(self, callback: Callable[[], None]) -> None:
        try:
            callback()
        except BlockingIOError:  # another thread has closed what was ready, and its number has a new owner
            pass
        except Exception:
            if self._on_error is None:
                raise
            self._on_error()

    def _call_due_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

"""What a caller may give up while he waits for it, from another thread."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import Cancelled, StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GIVEN_UP = "its start was given up by its caller"

_AT_ONCE = 16
"""A hundred that are given up together would each open a connection of their own to say so."""
_ends = threading.BoundedSemaphore(_AT_ONCE)

_QUEUE_SEC = 1.0
"""So long a place is waited for: they may be taken by those of another sandbox, which does not answer."""

_LOOK_SEC = 0.02
_LAST_LOOK_SEC = 1.0
"""So long the watch goes on when there is nothing to be watched: beginning it takes longer than a quick command."""

_AGAIN_SEC = 0.1
"""What is to be ended may not have begun when that is tried first."""


class _Watched:
    """Something that is ended, again and again until it is ``done``, from when ``cancel`` is set."""

    def __init__(self, cancel: threading.Event, end: Callable[[], None]) -> None:
        self.cancel, self._end = cancel, end
        self.done = threading.Event()

    def end(self) -> None:
        while not self.done.is_set():
            has_place = _ends.acquire(timeout=_QUEUE_SEC)
            try:
                if not self.done.is_set():
                    self._end()
            finally:
                if has_place:
                    _ends.release()
            self.done.wait(_AGAIN_SEC)


class _Watch:
    """One thread that looks after all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: set[_Watched] = set()
        self._goes_on = False

    def begin(self, watched: _Watched) -> None:
        with self._lock:
            if not self._goes_on:
                threading.Thread(target=self._look, name="cancel", daemon=True).start()
                self._goes_on = True
            self._watched.add(watched)

    def end(self, watched: _Watched) -> None:
        watched.done.set()
        with self._lock:
            self._watched.discard(watched)

    def _look(self) -> None:
        last = time.monotonic()
        while True:
            time.sleep(_LOOK_SEC)
            with self._lock:
                given_up = {watched for watched in self._watched if watched.cancel.is_set()}
                self._watched -= given_up
                if self._watched or given_up:
                    last = time.monotonic()
                elif time.monotonic() - last > _LAST_LOOK_SEC:
                    self._goes_on = False
                    return
            for watched in given_up:
                self._begin_to_end(watched)

    def _begin_to_end(self, watched: _Watched) -> None:
        try:
            threading.Thread(target=watched.end, name="cancel", daemon=True).start()
        except RuntimeError:  # no more threads now: at a later look
            with self._lock:
                self._watched.add(watched)


_watch = _Watch()


def _begin_anew() -> None:
    """A forked child has none of its parent's threads."""
    global _watch, _ends
    _watch, _ends = _Watch(), threading.BoundedSemaphore(_AT_ONCE)


os.register_at_fork(after_in_child=_begin_anew)


@contextmanager
def ended_by(cancel: threading.Event | None, end: Callable[[], None]) -> Iterator[None]:
    """While it lasts, ``end`` is called from when ``cancel`` is set, again and again."""
    if cancel is None:
        yield
        return
    watch, watched = _watch, _Watched(cancel, end)
    watch.begin(watched)
    try:
        yield
    finally:
        watch.end(watched)


@contextmanager
def cancelled_by(cancel: threading.Event | None) -> Iterator[None]:
    """What fails once ``cancel`` is set was ended by it."""
    try:
        yield
    except StartError:
        if cancel is None or not cancel.is_set():
            raise
        raise Cancelled(GIVEN_UP) from None

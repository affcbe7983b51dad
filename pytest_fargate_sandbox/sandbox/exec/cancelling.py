"""What a caller may give up while he waits for it, from another thread."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import Cancelled, StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GIVEN_UP = "its start was given up by its caller"

_ends = threading.BoundedSemaphore(4)
"""At once: a hundred that are given up together would each open a connection of their own to say so."""

_LOOK_SEC = 0.05
_AGAIN_SEC = 0.1
"""What is to be ended may not have begun when that is tried first."""


@contextmanager
def ended_by(cancel: threading.Event | None, end: Callable[[], None]) -> Iterator[None]:
    """While it lasts, ``end`` is called from when ``cancel`` is set, again and again."""
    if cancel is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not cancel.wait(_LOOK_SEC):
            if done.is_set():
                return
        while not done.is_set():
            with _ends:
                end()
            done.wait(_AGAIN_SEC)

    threading.Thread(target=watch, name="cancel", daemon=True).start()
    try:
        yield
    finally:
        done.set()


@contextmanager
def cancelled_by(cancel: threading.Event | None) -> Iterator[None]:
    """What fails once ``cancel`` is set was ended by it."""
    try:
        yield
    except StartError:
        if cancel is None or not cancel.is_set():
            raise
        raise Cancelled(GIVEN_UP) from None

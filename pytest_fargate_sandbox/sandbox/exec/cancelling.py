"""A command whose caller may give it up while he waits for it, from another thread."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.sandbox.exec.leash import Leash

_LOOK_SEC = 0.02
_KILL_AGAIN_SEC = 0.1
"""It may not have begun when it is killed first."""
_KILLS = 20
"""After so many the way there is taken for broken, and the answer no longer waited for."""


@contextmanager
def killed_by(cancel: threading.Event | None, leash: Leash, kill: Callable[[], None]) -> Iterator[None]:
    """While it lasts, ``cancel`` ends the command by ``kill``; then ``leash`` ends the waiting for its answer."""
    if cancel is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not cancel.wait(_LOOK_SEC):
            if done.is_set():
                return
        for _ in range(_KILLS):
            if done.is_set():
                return
            kill()
            done.wait(_KILL_AGAIN_SEC)
        leash.give_up()

    threading.Thread(target=watch, name="exec-cancel", daemon=True).start()
    try:
        yield
    finally:
        done.set()

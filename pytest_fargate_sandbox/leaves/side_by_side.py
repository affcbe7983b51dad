"""Several things at once, each in a thread; also where there are no threads to be had."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def side_by_side(acts: Iterable[Callable[[], object]], *, seconds: float = math.inf, name: str | None = None) -> None:
    """Do all of them, and wait for their ends so long.

    From 3.12 on Python starts no thread at its own end (https://github.com/python/cpython/issues/104690): there they
    are done one after another, and none is begun when the time is over.
    """
    deadline = time.monotonic() + seconds
    threads = []
    for act in acts:
        thread = threading.Thread(target=act, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if time.monotonic() < deadline:
                act()
        else:
            threads.append(thread)
    for thread in threads:
        thread.join(None if seconds == math.inf else max(0.0, deadline - time.monotonic()))

"""Waiting is a probe, a deadline and a growing, jittered pause. Nothing in this project sleeps for a fixed time."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")


class WaitTimeout(TimeoutError):
    """The deadline passed; ``last_seen`` is what the probe said last."""

    def __init__(self, what: str, waited: float, last_seen: BaseException | None) -> None:
        seen = f": {last_seen}" if last_seen is not None else ""
        super().__init__(f"{what} did not happen within {waited:.1f} s{seen}")
        self.last_seen = last_seen


class NotYet(Exception):
    """Raised by a probe that wants to say what it sees while it says "not yet"."""


def pauses(first: float, longest: float, growth: float = 1.6) -> Iterator[float]:
    """Endless pauses from ``first`` to ``longest``, each with up to a quarter of jitter so that a crowd spreads out."""
    pause = first
    while True:
        yield pause * random.uniform(0.75, 1.25)
        pause = min(pause * growth, longest)


def wait_until(
    probe: Callable[[], T | None],
    *,
    deadline: float,
    what: str,
    first_pause: float = 0.01,
    longest_pause: float = 0.5,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Call ``probe`` until it returns something that is not None; give up ``deadline`` seconds from now.

    A probe that raises ``NotYet`` says what it saw, and ``WaitTimeout`` repeats the last of it. Any other exception
    ends the wait at once. The probe is always called once more at the deadline.
    """
    start = clock()
    end = start + deadline
    last_seen: BaseException | None = None
    rests = pauses(first_pause, longest_pause)
    while True:
        try:
            found = probe()
        except NotYet as seen:
            last_seen, found = seen, None
        if found is not None:
            return found
        left = end - clock()
        if left <= 0:
            raise WaitTimeout(what, clock() - start, last_seen)
        sleep(min(next(rests), left))

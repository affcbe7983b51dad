"""How often all processes of a run together call RunTask: one token bucket, which is less than half of an account's.

So two machines that run tests at once are not refused. An account has 20 calls a second, and no more at once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.leaves.shared_state import SharedState

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html
PER_SECOND = 9.0
BURST = 9.0


class LaunchRate:
    """``take()`` returns when the next launch may go out."""

    def __init__(
        self,
        state: SharedState,
        *,
        per_second: float = PER_SECOND,
        burst: float = BURST,
        clock: Callable[[], float] = time.monotonic,  # the same for all processes of a machine
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._state, self._per_second, self._burst = state, per_second, burst
        self._clock, self._sleep = clock, sleep

    def take(self) -> None:
        with self._state.change() as document:
            bucket = document.setdefault("rate", {"tokens": self._burst, "at": self._clock()})
            wait = self._reserve(bucket)
        if wait > 0:
            self._sleep(wait)

    def _reserve(self, bucket: dict[str, Any]) -> float:
        """Take a token, if need be one that is still to come, and say how long until it is there."""
        now = self._clock()
        refilled = bucket["tokens"] + max(0.0, now - bucket["at"]) * self._per_second
        bucket["tokens"], bucket["at"] = min(self._burst, refilled) - 1, now
        return max(0.0, -float(bucket["tokens"]) / self._per_second)

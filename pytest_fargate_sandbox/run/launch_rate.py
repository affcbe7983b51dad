"""Fargate launches 20 tasks a second sustained and 100 at once: one token bucket for all processes of a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.run.shared_state import SharedState

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html
PER_SECOND = 20.0
BURST = 100.0


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

"""What ends a call from this side before its answer does: a time that was given it, or its caller, who gives up."""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import Cancelled, FileTimeout
from pytest_fargate_sandbox.sandbox.exec.patience import Look, Patience

if TYPE_CHECKING:
    from pytest_fargate_sandbox.sandbox.exec.exec_connection import ExecConnection


CALLERS: ContextVar[Leash | None] = ContextVar("leash", default=None)
"""What whoever has called us may give up."""


class Leash:
    """Of one act, over as many connections as it takes. Any thread may ``give_up``, before it or meanwhile."""

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds: float | None = None
        self._end: float | None = None
        if seconds is not None:
            self.limit(seconds)
        self._lock = threading.Lock()
        self._held: ExecConnection | None = None
        self._is_given_up = False

    def limit(self, seconds: float) -> None:
        """From now on."""
        self._seconds, self._end = seconds, time.monotonic() + seconds

    def give_up(self) -> None:
        """Whoever waits for the answer hears of it at once."""
        with self._lock:
            self._is_given_up = True
            if self._held:
                self._held.close()

    def check(self) -> None:
        """Raises ``Cancelled`` or ``FileTimeout`` where it has come to its end."""
        if self._is_given_up:
            raise Cancelled("given up by its caller")
        if self._end is not None and time.monotonic() >= self._end:
            raise FileTimeout(f"not done within its {self._seconds:.1f} s (timeout_sec)", timeout_sec=self._seconds)

    def left(self) -> float:
        return float("inf") if self._end is None else self._end - time.monotonic()

    def hold(self, connection: ExecConnection) -> None:
        """The one on which the answer comes."""
        with self._lock:
            self._held = connection
        self.check()

    def drop(self) -> None:
        """It is another's."""
        with self._lock:
            self._held = None


class LeashedPatience(Patience):
    """Which ends with the leash, however much flows."""

    def __init__(self, leash: Leash, seconds: float, slowest: int, silence: float | None, look: Look) -> None:
        super().__init__(seconds, slowest, silence, look)
        self._leash = leash

    def next_wait(self, *, in_parts: bool = True) -> float:
        self._leash.check()
        return max(0.001, min(super().next_wait(in_parts=in_parts), self._leash.left()))

    def timed_out(self, wait: float) -> None:
        self._leash.check()
        super().timed_out(wait)

"""How long an answer is waited for in all. A server that drips a byte a second is never silent, and never done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.requests.http1 import Disconnected, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

_IN_VAIN = 2
"""So many looks in a row: a machine may be busy beyond words."""


class Look(NamedTuple):
    """How often a server that is silent is asked whether it ``lives`` at all."""

    every: float
    lives: Callable[[], bool]


class Patience:
    """So many ``seconds`` of waiting, over as many connections as it takes, and no ``silence`` longer than that.

    Only waiting counts: what the caller does with his output, and the disk with a file, takes the time that it takes.
    And whatever flows at ``slowest`` bytes a second or faster uses none of it. One that is silent for longer than it
    takes to ``look`` has to live, at least.
    """

    def __init__(self, seconds: float, slowest: int, silence: float | None = None, look: Look | None = None) -> None:
        self._seconds = self._left = seconds
        self._slowest = slowest
        self._silence = seconds if silence is None else silence
        self._look = look
        self._silent_for = 0.0
        self._looks_in_vain = 0

    def next_wait(self, *, in_parts: bool = True) -> float:
        """How long to wait for the next bytes. Raises ``Malformed`` when patience has come to its end."""
        if self._left <= 0:
            raise self._end()
        longest = min(self._silence - self._silent_for, self._left)
        return min(longest, self._look.every) if self._look and in_parts else longest

    def spend(self, seconds: float, byte_count: int = 0) -> None:
        """What was waited, and what it brought."""
        self._left = min(self._seconds, self._left - seconds + byte_count / self._slowest)
        if byte_count:
            self._silent_for = 0.0

    def timed_out(self, wait: float) -> None:
        """Nothing came for as long as ``next_wait`` has said. Returns where it is to be waited on."""
        self.spend(wait)
        self._silent_for += wait
        # What was sent before has cost a part of it, perhaps: who has been silent for most of it has not dripped.
        if self._silent_for >= self._silence or (self._left <= 0 and self._silent_for > self._seconds / 2):
            self._silent_for = 0.0
            raise Disconnected("the exec server fell silent")
        if self._left <= 0:
            raise self._end()
        if self._look and wait >= self._look.every:
            self._looks_in_vain = 0 if self._look.lives() else self._looks_in_vain + 1
        if self._looks_in_vain == _IN_VAIN:
            raise Failure(
                "hangs", f"the exec server hangs: for {self._silent_for:.1f} s it has said nothing, to nobody"
            )

    def _end(self) -> Malformed:
        return Malformed(f"no end of it within {self._seconds:.1f} s, at less than {self._slowest} bytes a second")

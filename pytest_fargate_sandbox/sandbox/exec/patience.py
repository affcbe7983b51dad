"""How long an answer is waited for in all. A server that drips a byte a second is never silent, and never done."""

from __future__ import annotations

from pytest_fargate_sandbox.server.requests.http1 import Disconnected, Malformed


class Patience:
    """So many ``seconds`` of waiting, over as many connections as it takes, and no ``silence`` longer than that.

    Only waiting counts: what the caller does with his output, and the disk with a file, takes the time that it takes.
    And whatever flows at ``slowest`` bytes a second or faster uses none of it.
    """

    def __init__(self, seconds: float, slowest: int, silence: float | None = None) -> None:
        self._seconds = self._left = seconds
        self._slowest = slowest
        self._silence = seconds if silence is None else silence

    def next_wait(self) -> float:
        """How long to wait for the next bytes. Raises ``Malformed`` when patience has come to its end."""
        if self._left <= 0:
            raise self._end()
        return min(self._silence, self._left)

    def spend(self, seconds: float, byte_count: int = 0) -> None:
        """What was waited, and what it brought."""
        self._left = min(self._seconds, self._left - seconds + byte_count / self._slowest)

    def timed_out(self, wait: float) -> Exception:
        """What it means that nothing came for as long as ``next_wait`` has said."""
        self.spend(wait)
        return Disconnected("the exec server fell silent") if wait >= self._silence else self._end()

    def _end(self) -> Malformed:
        return Malformed(f"no end of it within {self._seconds:.1f} s, at less than {self._slowest} bytes a second")

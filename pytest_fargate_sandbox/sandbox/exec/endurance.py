"""How long to try again what a break undid."""

from __future__ import annotations

import time

from pytest_fargate_sandbox.leaves.waiting import pauses

_FIRST_REST_SEC, _LONGEST_REST_SEC = 0.01, 1.0


class Endurance:
    """Ends with so many ``tries`` in a row that brought nothing.

    A way that is there and breaks has ``breaks_sec`` as well: a network that flaps does so for seconds, in which a few
    tries are made in no time. One try means one.
    """

    def __init__(self, tries: int, breaks_sec: float) -> None:
        self._tries = tries
        self._breaks_sec = breaks_sec if tries > 1 else 0.0
        self.begin_anew()

    def begin_anew(self) -> None:
        """Something was heard."""
        self._fruitless = 0
        self._since = time.monotonic()
        self._rests = pauses(_FIRST_REST_SEC, _LONGEST_REST_SEC)

    def ends(self, *, broke: bool) -> bool:
        """Whether one more try that failed was the last; ``broke``: there was a way, and it broke."""
        self._fruitless += 1
        has_had_its_time = not broke or time.monotonic() - self._since >= self._breaks_sec
        return self._fruitless >= self._tries and has_had_its_time

    def rest(self) -> float:
        """How long to wait before the next one."""
        return next(self._rests)

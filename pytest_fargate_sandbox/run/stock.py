"""How many sandboxes of a kind to have ready or starting ahead of need, so that no worker waits and few are idle."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING, Protocol

from pytest_fargate_sandbox.run.kind_notes import busy_sec, launch_sec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fargate_sandbox.run.kind_notes import Notes

AUTO = "auto"
_SHORTEST_SEC = 0.05


class Stock(Protocol):
    def wanted(self, places: Sequence[int], notes: Notes, of_all: Notes, guess: float) -> int:
        """How much of a kind to have.

        ``places``: where in the order of all that the run needs its sandboxes of this kind stand; ``notes`` are of the
        kind, ``of_all`` of all kinds together; ``guess``: how long a test takes, as long as none has ended.
        """


class FixedStock:
    """So many of each kind."""

    def __init__(self, count: int) -> None:
        self._count = count

    def wanted(self, places: Sequence[int], notes: Notes, of_all: Notes, guess: float) -> int:  # noqa: ARG002
        return self._count


class StockBySight:
    """By Little's law, as many as are asked for while one is launched: workers, times launch, divided by test.

    Which kinds the next of them are of, the order of the tests tells. It is no more than likely, since workers run them
    side by side; so a kind that some of them ask for again and again has its own share besides.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def wanted(self, places: Sequence[int], notes: Notes, of_all: Notes, guess: float) -> int:
        claimed = int(of_all["claimed"])
        first_ones = max(0, self._workers - claimed)  # in the beginning each worker wants one at once
        horizon = claimed + first_ones + _asked_for_meanwhile(of_all, self._workers, busy_sec(of_all) or guess)
        come_next = bisect_left(places, horizon) - int(notes["claimed"])
        return max(come_next, _asked_for_meanwhile(notes, len(notes["got"]), busy_sec(notes) or math.inf))


def is_growing(of_all: Notes) -> bool:
    """Whether more is wanted as time goes by, though nothing happens."""
    return not of_all["launch"][1] and of_all["first_at"] is not None


def _asked_for_meanwhile(notes: Notes, workers: int, busy: float) -> int:
    """While one is launched: the mean, and twice the deviation from it, as if tests came at random."""
    mean = workers * launch_sec(notes) / max(busy, _SHORTEST_SEC)
    return max(1, round(mean + 2 * math.sqrt(mean))) if mean else 0

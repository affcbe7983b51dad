"""What some tries say about all: shares with the interval that so many tries allow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_Z = 1.959964
"""Of 95 %."""


class Share(NamedTuple):
    """``low`` to ``high`` is where the truth is, at 95 %."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def share(passed: int, tried: int) -> Share | None:
    """Of tries of one kind, by Wilson; None: nobody tried.

    https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval
    """
    if not tried:
        return None
    found, z2 = passed / tried, _Z * _Z
    middle = (found + z2 / (2 * tried)) / (1 + z2 / tried)
    half = _Z * math.sqrt(found * (1 - found) / tried + z2 / (4 * tried * tried)) / (1 + z2 / tried)
    return Share(found, max(0.0, min(middle - half, found)), min(1.0, max(middle + half, found)))


def mean_share(shares: Sequence[float]) -> Share | None:
    """Of tasks that each have their share: tries of one task are no independent ones, tasks are."""
    if not shares:
        return None
    mean = sum(shares) / len(shares)
    if all(each in (0.0, 1.0) for each in shares):
        return share(int(sum(shares)), len(shares))
    if len(shares) < 2:
        return Share(mean, 0.0, 1.0)
    variance = sum((each - mean) ** 2 for each in shares) / (len(shares) - 1)
    half = _Z * math.sqrt(variance / len(shares))
    return Share(mean, max(0.0, mean - half), min(1.0, mean + half))


def all_of(k: int, passed: int, tried: int) -> float | None:
    """pass^k: how likely it is that all of ``k`` tries pass, unbiased; None: there were fewer tries.

    https://arxiv.org/abs/2406.12045, section 4.2.
    """
    return math.comb(passed, k) / math.comb(tried, k) if 0 < k <= tried else None

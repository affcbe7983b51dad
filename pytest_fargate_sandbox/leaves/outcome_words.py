"""How a test may come out, in pytest's words: what each of them means, and how it is shown."""

from __future__ import annotations

from typing import Final, NamedTuple

PASSED: Final = "passed"
SKIPPED: Final = "skipped"
FAILED: Final = "failed"
ERROR: Final = "error"
XFAILED: Final = "xfailed"
XPASSED: Final = "xpassed"
UNFINISHED: Final = "unfinished"
"""Ours: the run ended before the test did."""


class Outcome(NamedTuple):
    glyph: str
    hue: str
    """Its colour on a page: a class and a variable of ``page/assets/page.css``."""
    is_as_wanted: bool
    """Whether nobody need look at it."""
    is_evaluable: bool
    """Whether it says something of what was tested."""


OUTCOMES: Final = {
    ERROR: Outcome("!", "bad", is_as_wanted=False, is_evaluable=False),
    FAILED: Outcome("✗", "bad", is_as_wanted=False, is_evaluable=True),
    UNFINISHED: Outcome("…", "odd", is_as_wanted=False, is_evaluable=False),
    XPASSED: Outcome("X", "even", is_as_wanted=False, is_evaluable=True),
    PASSED: Outcome("✓", "good", is_as_wanted=True, is_evaluable=True),
    XFAILED: Outcome("x", "even", is_as_wanted=True, is_evaluable=True),
    SKIPPED: Outcome("\N{EN DASH}", "even", is_as_wanted=True, is_evaluable=False),
}
"""Those first that want to be seen first."""

_ORDER = list(OUTCOMES)


def gravest(*words: str) -> str:
    """What a test is called whose phases came out like this: ``passed`` only if all of them have passed."""
    return min((word for word in words if word != PASSED), key=_ORDER.index, default=PASSED)

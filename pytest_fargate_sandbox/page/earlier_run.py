"""What is otherwise than in an earlier run: outcomes, retries, times and cost of the tests that both have."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.outcome_words import OUTCOMES
from pytest_fargate_sandbox.leaves.printable import printable_line
from pytest_fargate_sandbox.page.figures import cost_by_test, phase_seconds, test_seconds
from pytest_fargate_sandbox.page.shown_text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_fargate_sandbox.page.finished_run import FinishedRun

_WORTH_TELLING = 0.25
"""Slower or faster by less is noise, and so is what is less than …"""
_WORTH_SEC = 0.5
_MOST = 200
_SHOWN = 10
"""Tests, on a terminal."""


def compared(run: FinishedRun, earlier_run: FinishedRun) -> dict[str, Any]:
    """Plain values: rows of ``[test, before, now]``, those first that matter most."""
    report, earlier = run.report, earlier_run.report
    tests = {test["test"]: test for test in report["tests"]}
    before = {test["test"]: test for test in earlier["tests"]}
    both = [test for test in tests if test in before]
    outcomes = [(test, shown(before[test]["outcome"]), shown(tests[test]["outcome"])) for test in both]
    changed = sorted((each for each in outcomes if each[1] != each[2]), key=lambda each: _is_as_wanted(each[2]))
    tries = [(test, before[test].get("attempts", 1), tests[test].get("attempts", 1)) for test in both]
    return {
        "name": shown(earlier_run.name),
        "new": sum(test not in before for test in tests),
        "gone": sum(test not in tests for test in before),
        "outcomes": _rows(changed),
        "flakier": _rows([each for each in tries if each[2] > each[1]]),
        "slower": _rows(_greater(test_seconds(report), test_seconds(earlier), _WORTH_SEC)),
        "dearer": _rows(_greater(cost_by_test(report), cost_by_test(earlier), 0.0)),
        "cost": [earlier["cost_usd"], report["cost_usd"]],
        "phases": list(_phases(report, earlier)),
    }


def told(changes: Mapping[str, Any]) -> Iterator[str]:
    """Sentences for a terminal."""
    parts = [f"{len(changes[key])} {key}" for key in ("flakier", "slower", "dearer") if changes[key]]
    number = len(changes["outcomes"])
    yield f"against {printable_line(changes['name'])}: {', '.join([f'{number} with another outcome', *parts])}"
    yield from (printable_line(f"  {test}: {before} → {now}") for test, before, now in changes["outcomes"][:_SHOWN])


def _is_as_wanted(outcome: str) -> bool:
    return outcome in OUTCOMES and OUTCOMES[outcome].is_as_wanted


def _greater(now: Mapping[str, float], before: Mapping[str, float], worth: float) -> list[tuple[str, float, float]]:
    found = [(test, before[test], now[test]) for test in now if test in before]
    worse = [each for each in found if each[2] - each[1] > max(worth, each[1] * _WORTH_TELLING)]
    return sorted(worse, key=lambda each: each[1] - each[2])


def _phases(report: Mapping[str, Any], earlier: Mapping[str, Any]) -> Iterator[list[Any]]:
    now, before = phase_seconds(report), phase_seconds(earlier)
    for name in now:
        if name in before:
            yield [name, round(statistics.median(before[name]), 4), round(statistics.median(now[name]), 4)]


def _rows(found: list[tuple[str, Any, Any]]) -> list[list[Any]]:
    return [[shown(test), before, now] for test, before, now in found[:_MOST]]

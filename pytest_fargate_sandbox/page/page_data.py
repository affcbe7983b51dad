"""A run as its page has it: short rows in place of long objects, times from the run's beginning, all text harmless."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.outcome_words import OUTCOMES
from pytest_fargate_sandbox.page.figures import cost_by_test, distributions, evaluable, sentences
from pytest_fargate_sandbox.page.shown_text import shown
from pytest_fargate_sandbox.tasks.attempt_groups import groups_of
from pytest_fargate_sandbox.tasks.task_statistics import share

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LONGEST = 400
"""Characters of what is told in a cell."""


def page_data(report: Mapping[str, Any], stories: Sequence[str]) -> dict[str, Any]:
    """``stories``: the tests that have one, in the order in which the page has them."""
    moments = _Moments(_beginning(report))
    costs = cost_by_test(report)
    numbers = {test["test"]: number for number, test in enumerate(report["tests"])}
    places = {test: number for number, test in enumerate(stories)}
    return {
        "name": shown(report.get("title") or ""),
        "state": report.get("state", "finished"),
        "began": moments.zero,
        "took": moments.of(report.get("ended")),
        "place": {key: shown(report.get(key) or "") for key in ("engine", "cluster", "region")},
        "bound": report.get("max_tasks"),
        "counts": report["counts"],
        "cost": report["cost_usd"],
        "unused": report["unused_usd"],
        "task_seconds": round(sum(map(_alive, report["sandboxes"])), 1),
        "evaluable": evaluable(report),
        "sentences": [shown(sentence) for sentence in sentences(report)],
        "outcomes": {
            word: {"glyph": outcome.glyph, "hue": outcome.hue, "isAsWanted": outcome.is_as_wanted}
            for word, outcome in OUTCOMES.items()
        },
        "tests": [_test(test, moments, costs, places) for test in report["tests"]],
        "machines": [_machine(machine, moments, numbers) for machine in report["sandboxes"]],
        "slots": [_slot(slot, moments, numbers) for slot in report.get("slots", ())],
        "waits": [
            [numbers.get(wait["test"], -1), moments.of(wait["began"]), moments.of(wait["ended"])]
            for wait in report.get("waits", ())
        ],
        "refusals": [[moments.of(each["t"]), shown(each["why"])[:_LONGEST]] for each in report.get("refusals", ())],
        "grid": _grid(report.get("attempts", ())),
        "distributions": list(distributions(report, costs)),
    }


class _Moments:
    """Times from a beginning, in seconds."""

    def __init__(self, zero: float) -> None:
        self.zero = zero

    def of(self, when: float | None) -> float | None:
        return None if when is None else round(when - self.zero, 3)


def _beginning(report: Mapping[str, Any]) -> float:
    told = [report.get("began"), *(test["began"] for test in report["tests"])]
    return min((each for each in told if each), default=0.0)


def _test(
    test: Mapping[str, Any], moments: _Moments, costs: Mapping[str, float], stories: Mapping[str, int]
) -> list[Any]:
    began, ended = (test.get("times") or {}).get("call") or (None, None)
    return [
        shown(test["test"]),
        shown(test["outcome"]),
        shown(test.get("worker") or ""),
        [moments.of(each) for each in (test["began"], began, ended, test["ended"])],
        test.get("attempts", 1),
        shown(test.get("infrastructure") or "")[:_LONGEST],
        costs.get(test["test"]),
        stories.get(test["test"], -1),
    ]


def _machine(machine: Mapping[str, Any], moments: _Moments, numbers: Mapping[str, int]) -> list[Any]:
    unused = not machine["tests"] and not machine["made_for"]
    flags = {"ahead": machine["prelaunched"] or unused, "unused": unused}
    flags |= {name: machine.get(name) for name in ("kept", "left", "reused")}
    return [
        shown(machine["task_arn"]).rpartition("/")[2],
        shown(machine["worker"]),
        shown(machine["image"])[:_LONGEST],
        [name for name, said in flags.items() if said],
        [numbers[test] for test in machine["tests"] or [machine["made_for"]] if test in numbers],
        [[name, moments.of(began), moments.of(ended)] for name, began, ended in machine.get("spans", ())],
        machine.get("cost_usd"),
        shown(machine["cause"])[:_LONGEST],
    ]


def _slot(slot: Mapping[str, Any], moments: _Moments, numbers: Mapping[str, int]) -> list[Any]:
    return [
        f"{shown(slot['task_arn']).rpartition('/')[2]}, slot {slot['slot']}",
        shown(str(slot["worker"])),
        [numbers[test] for test in slot["tests"] if test in numbers],
        moments.of(slot["times"].get("leased")),
        moments.of(slot["times"].get("ended")),
    ]


def _alive(machine: Mapping[str, Any]) -> float:
    times = machine["times"]
    spans = machine.get("spans") or [[None, times.get("launched"), times.get("stopped")]]
    began, ended = times.get("launched"), times.get("stopped") or spans[-1][2] or spans[-1][1]
    return max(0.0, ended - began) if began and ended else 0.0


def _grid(attempts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Tasks by agents, each cell with how many of how many evaluable ones passed, and of how many tries at all."""
    if not attempts:
        return None
    groups = groups_of(attempts)
    tasks, agents = _numbered(group.task for group in groups), _numbered(group.agent for group in groups)
    return {
        "tasks": list(map(shown, tasks)),
        "agents": list(map(shown, agents)),
        "cells": [
            [tasks[group.task], agents[group.agent], *group[2:], *(share(group.passed, group.evaluable) or ())]
            for group in groups
        ],
    }


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(names))}

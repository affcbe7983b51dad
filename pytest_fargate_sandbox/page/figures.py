"""What a run's numbers come to: distributions, and the few sentences that matter."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.names import SETUP_PHASES
from pytest_fargate_sandbox.leaves.outcome_words import OUTCOMES, SKIPPED
from pytest_fargate_sandbox.leaves.times_in_words import span
from pytest_fargate_sandbox.tasks.attempt_record import is_evaluable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_BINS = 24


def distribution(name: str, unit: str, values: Sequence[float]) -> dict[str, Any]:
    """``bins`` are counts of equal widths from nothing to the greatest."""
    ordered = sorted(values)
    most = ordered[-1]
    bins = [0] * _BINS
    for value in ordered:
        bins[min(_BINS - 1, int(value / most * _BINS)) if most > 0 else 0] += 1
    places = {f"p{share}": round(percentile(ordered, share), 6) for share in (50, 95, 99)}
    return {"name": name, "unit": unit, "n": len(ordered), **places, "max": round(most, 6), "bins": bins}


def percentile(ordered: Sequence[float], share: int) -> float:
    """The least value that so many of a hundred do not exceed."""
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def distributions(report: Mapping[str, Any], costs: Mapping[str, float]) -> Iterator[dict[str, Any]]:
    """Of starts by phase, of tests, of commands, and of what a test has cost."""
    phases = phase_seconds(report)
    for name in (*SETUP_PHASES, "start"):
        if any(value >= 0.0005 for value in phases.get(name, ())):
            yield distribution(name, "s", phases[name])
    for title, values in (("test", list(test_seconds(report).values())), ("command", command_seconds(report))):
        if values:
            yield distribution(title, "s", values)
    if any(costs.values()):
        yield distribution("cost of a test", "$", list(costs.values()))


def phase_seconds(report: Mapping[str, Any]) -> dict[str, list[float]]:
    """And of ``start``, which is all that a test waited for its sandbox."""
    found: dict[str, list[float]] = {}
    for machine in report["sandboxes"]:
        phases = machine.get("phases") or {}
        for name, seconds in ({**phases, "start": sum(phases.values())} if phases else {}).items():
            found.setdefault(name, []).append(seconds)
    return found


def test_seconds(report: Mapping[str, Any]) -> dict[str, float]:
    """Of the test itself where that is known, else with its setup and teardown."""
    found = {}
    for test in report["tests"]:
        began, ended = (test.get("times") or {}).get("call") or (test["began"], test["ended"])
        if began and ended:
            found[test["test"]] = max(0.0, ended - began)
    return found


def command_seconds(report: Mapping[str, Any]) -> list[float]:
    users = [*report["sandboxes"], *report.get("slots", ())]
    return [command["duration_sec"] for user in users for command in user["commands"]]


def cost_by_test(report: Mapping[str, Any]) -> dict[str, float]:
    """A machine's cost in equal parts for all tests that have had it."""
    costs: dict[str, float] = {}
    for machine in report["sandboxes"]:
        for test in machine["tests"] if "cost_usd" in machine else ():
            share = machine["cost_usd"] / len(machine["tests"])
            costs[test] = round(costs.get(test, 0.0) + share, 8)
    return costs


def evaluable(report: Mapping[str, Any]) -> tuple[int, int]:
    """Of how many attempts, or where there are none of how many tests, the outcome says something."""
    attempts = [each for each in report.get("attempts", ()) if each["verdict"] != "skipped"]
    if attempts:
        return sum(map(is_evaluable, attempts)), len(attempts)
    tests = [each["outcome"] for each in report["tests"] if each["outcome"] != SKIPPED]
    return sum(each in OUTCOMES and OUTCOMES[each].is_evaluable for each in tests), len(tests)


def sentences(report: Mapping[str, Any]) -> Iterator[str]:
    """The slowest phase, what was most often run again, and what waited for what."""
    phases = phase_seconds(report)
    if phases:
        sums = {name: sum(seconds) for name, seconds in phases.items() if name != "start"}
        name = max(sums, key=lambda each: sums[each])
        median, slowest = statistics.median(phases[name]), max(phases[name])
        share = sums[name] / (sum(sums.values()) or 1.0)
        yield (
            f"Most of what starts took was “{name}”: {share:.0%} of it, {span(median)} at the median and "
            f"{span(slowest)} at most."
        )
    if report["retries"]:
        kinds = Counter(_kind_of(retry) for retry in report["retries"])
        kind, times = kinds.most_common(1)[0]
        yield f"Run again after infrastructure errors: {len(report['retries'])}, most often ({times}) for {kind}."
    waited = sum(map(_wait_seconds, report.get("waits", ())))
    if waited >= 1.0:
        room = sum(phases.get("waited", ()))
        told = f"Tests waited {span(waited)} in all for their sandboxes"
        yield (
            f"{told}; {span(room)} of it for room, or for a launch that was under way." if room >= 1.0 else f"{told}."
        )
    if report.get("refusals"):
        yield f"Launches that the account refused: {len(report['refusals'])}, the last: {report['refusals'][-1]['why']}"


def _kind_of(retry: Mapping[str, Any]) -> str:
    error = retry["error"]
    return f"{error['type']} ({error['cause']})" if error.get("cause") else str(error["type"])


def _wait_seconds(wait: Mapping[str, Any]) -> float:
    return max(0.0, float(wait["ended"] or wait["began"]) - float(wait["began"]))

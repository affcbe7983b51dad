"""How each test of the run came out, in the one process that all reports come to, for the run as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.outcome_words import ERROR, FAILED, PASSED, XFAILED, XPASSED, gravest
from pytest_fargate_sandbox.plugin.outcomes import PROPERTY
from pytest_fargate_sandbox.plugin.rerun import RETRIED
from pytest_fargate_sandbox.plugin.telling.artifacts import FILE, TROUBLE

if TYPE_CHECKING:
    import pytest

_LISTS = {"tasks": "fargate_task", "artifacts": FILE, "artifacts_trouble": TROUBLE}
"""What there may be several of, by the properties that they are."""


class OutcomeBook:
    """Of a test that was run again, the last attempt counts."""

    def __init__(self) -> None:
        self._tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._tests.pop(nodeid, None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if str(report.outcome) == "rerun":  # pytest-rerunfailures has another go, and reports that as well
            self._tests.pop(report.nodeid, None)
            return
        # Of a worker that was killed xdist reports no times.
        new = {"test": report.nodeid, "outcome": PASSED, "began": report.start or None, "ended": None}
        test = self._tests.setdefault(report.nodeid, {**new, "worker": _worker(report), "times": {}})
        test["outcome"] = gravest(test["outcome"], _outcome(report))
        test["ended"] = report.stop or test["ended"]
        if report.stop:
            began, _ = test["times"].get(report.when, (report.start, None))
            test["times"][report.when] = (began, report.stop)
        properties = dict(report.user_properties)
        test["attempts"] = int(str(properties.get(RETRIED, 0))) + 1
        test["infrastructure"] = properties.get(PROPERTY)
        for key, name in _LISTS.items():
            test[key] = [value for each, value in report.user_properties if each == name]

    def test(self, nodeid: str) -> dict[str, Any] | None:
        """How it has come out up to now."""
        return self._tests.get(nodeid)

    def tests(self) -> list[dict[str, Any]]:
        """Plain values, in the order in which they were begun."""
        return list(self._tests.values())


def _worker(report: pytest.TestReport) -> str:
    """xdist says whose a report is, to the controller alone."""
    node = getattr(report, "node", None)
    return str(node.gateway.id) if node is not None else "main"


def _outcome(report: pytest.TestReport) -> str:
    if report.failed:
        return FAILED if report.when == "call" else ERROR
    if hasattr(report, "wasxfail"):
        return XFAILED if report.skipped else XPASSED
    return report.outcome

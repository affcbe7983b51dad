"""What stands in the header and at the end: where values came from, what was launched, and what it took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_fargate_sandbox.plugin.controller import Controller
    from pytest_fargate_sandbox.plugin.options import Settings
    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun

_SHOWN_RETRIES = 5


class Summary:
    """Speaks for all workers, in the one process that has the terminal."""

    def __init__(self, settings: Settings, run: PytestRun, controller: Controller) -> None:
        self._settings = settings
        self._run = run
        self._controller = controller

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        report = self._controller.report
        if report is None:
            return
        terminalreporter.write_sep("=", "fargate sandboxes")
        if not self._settings.configured:
            terminalreporter.write_line(self._settings.describe())
        for line in _lines(report):
            terminalreporter.write_line(line)
        if report["counts"]["kept"]:
            for line in _kept(self._run.run_id, report):
                terminalreporter.write_line(line)


def _lines(report: dict[str, Any]) -> Iterator[str]:
    from pytest_fargate_sandbox.leaves.names import SETUP_PHASES
    from pytest_fargate_sandbox.records.run_report import slowest_phases

    counts = report["counts"]
    told = [f"{counts['launched']} launched"]
    told += [f"{counts[name]} {word}" for name, word in _COUNTS.items() if counts[name]]
    cost = f"about ${report['cost_usd']:.4f}"
    if counts["prelaunched_unused"]:
        cost += f" (${report['unused_usd']:.4f} of it unused)"
    yield f"{', '.join(told)}; {f'{cost} on AWS, nothing here' if report['engine'] else cost}"
    times = {name: f"{median:.2f}/{slowest:.2f}" for name, (median, slowest) in slowest_phases(report).items()}
    if times:
        shown = [f"{name} {times[name]}" for name in (*SETUP_PHASES, "start") if name in times]
        yield f"start, median/slowest in seconds: {', '.join(shown)}; of the task itself {times['task']}"
    for slot in report["retired"][:_SHOWN_RETRIES]:
        yield f"retired: of {slot['task_arn'].rpartition('/')[2]}, {slot['why']}"
    for retry in report["retries"][:_SHOWN_RETRIES]:
        yield f"ran again: {retry['test']} ({retry['error']['type']}: {retry['error']['message']})"
    if len(report["retries"]) > _SHOWN_RETRIES:
        yield f"ran again: {len(report['retries']) - _SHOWN_RETRIES} more"


_COUNTS = {
    "prelaunched_unused": "prelaunched and unused",
    "slots_leased": "leases of slots",
    "slots_retired": "slots retired",
    "retried": "run again after infrastructure errors",
    "kept": "kept",
    "leaked": "may still run (fargate-sandbox sweep)",
}


def _kept(run_id: str, report: dict[str, Any]) -> Iterator[str]:
    from pytest_fargate_sandbox.records.kept_tasks import kept_tasks
    from pytest_fargate_sandbox.records.ledger import Ledger

    tests = {entry.task_arn: entry.facts.get("tests") or [] for entry in Ledger(run_id).entries()}
    for kept in kept_tasks():
        if kept.run_id == run_id:
            ends = time.strftime("%H:%M:%S", time.localtime(kept.expires))
            yield f"kept: {', '.join(tests.get(kept.task_arn) or [kept.task_id])} until {ends}"
            yield f"  enter: fargate-sandbox shell {kept.id}"
            for slot in report["slots"]:
                if slot["kept"] and slot["task_arn"] == kept.task_arn:
                    yield f"         cd {slot['home']}  # {', '.join(slot['tests'])}"
            yield f"  end:   fargate-sandbox stop {kept.id}"

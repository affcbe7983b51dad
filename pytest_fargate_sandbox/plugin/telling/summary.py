"""What stands in the header and at the end: where values came from, what was launched, and what it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.times_in_words import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_fargate_sandbox.plugin.controller import Controller
    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun
    from pytest_fargate_sandbox.plugin.settings.run_settings import Settings
    from pytest_fargate_sandbox.plugin.telling.run_book import RunBook
    from pytest_fargate_sandbox.records.kept_tasks import KeptTask

_SHOWN_RETRIES = 5


class Summary:
    """Speaks for all workers, in the one process that has the terminal."""

    def __init__(self, settings: Settings, run: PytestRun, controller: Controller, book: RunBook) -> None:
        self._settings = settings
        self._run = run
        self._controller, self._book = controller, book

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        report = self._controller.report
        if report is None:
            self._tell_of_page(terminalreporter)
            return
        terminalreporter.write_sep("=", "fargate sandboxes")
        if not self._settings.configured:
            terminalreporter.write_line(self._settings.describe())
        for line in _lines(report):
            terminalreporter.write_line(line)
        if report["counts"]["kept"] or report["counts"]["left"]:
            for line in _living(self._run.run_id, report):
                terminalreporter.write_line(line)
        self._tell_of_page(terminalreporter)

    def _tell_of_page(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self._book.changes:
            terminalreporter.write_line(line)
        if self._book.page:
            terminalreporter.write_line(f"the run as a page: {self._book.page}")


def _lines(report: dict[str, Any]) -> Iterator[str]:
    from pytest_fargate_sandbox.leaves.names import SETUP_PHASES
    from pytest_fargate_sandbox.records.run_report import slowest_phases

    counts = report["counts"]
    told = [f"{counts['launched']} launched"]
    told += [f"{n} {words.format(s='s' * (n > 1))}" for name, words in _COUNTS.items() if (n := counts[name])]
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
    for sandbox in report["sandboxes"]:
        if sandbox["not_left"]:
            yield f"not as new, and stopped: {sandbox['made_for']}: {sandbox['not_left']}"
    for retry in report["retries"][:_SHOWN_RETRIES]:
        yield f"ran again: {retry['test']} ({retry['error']['type']}: {retry['error']['message']})"
    if len(report["retries"]) > _SHOWN_RETRIES:
        yield f"ran again: {len(report['retries']) - _SHOWN_RETRIES} more"


_COUNTS = {
    "reused": "taken over from an earlier run",
    "prelaunched_unused": "prelaunched and unused",
    "slots_leased": "slot lease{s}",
    "slots_retired": "slot{s} retired",
    "retried": "run again after infrastructure errors",
    "kept": "kept",
    "left": "left to the next run",
    "leaked": "may still run (fargate-sandbox sweep)",
}


def _living(run_id: str, report: dict[str, Any]) -> Iterator[str]:
    from pytest_fargate_sandbox.records.kept_tasks import kept_tasks
    from pytest_fargate_sandbox.records.ledger import Ledger

    entries = {entry.task_arn: entry for entry in Ledger(run_id).entries()}
    left: dict[str, list[KeptTask]] = {}
    for kept in kept_tasks():
        entry = entries.get(kept.task_arn)
        if kept.run_id == run_id and entry and entry.is_left:
            left.setdefault(str(entry.facts["reuse"]), []).append(kept)
        elif kept.run_id == run_id:
            yield from _kept(kept, entry.facts.get("tests") or [] if entry else [], report)
    for name, tasks in left.items():
        ends = clock(min(kept.expires for kept in tasks))
        yield f"left to the next run of {name}: {len(tasks)}, the first until {ends}"
        yield f"  end:   fargate-sandbox stop {name}"


def _kept(kept: KeptTask, tests: list[str], report: dict[str, Any]) -> Iterator[str]:
    yield f"kept: {', '.join(tests or [kept.task_id])} until {clock(kept.expires)}"
    yield f"  enter: fargate-sandbox shell {kept.id}"
    for slot in report["slots"]:
        if slot["kept"] and slot["task_arn"] == kept.task_arn:
            yield f"         cd {slot['home']}  # {', '.join(slot['tests'])}"
    yield f"  end:   fargate-sandbox stop {kept.id}"

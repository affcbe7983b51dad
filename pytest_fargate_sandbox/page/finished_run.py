"""A run that somebody looks back at, by its id, ``last``, or the file of its ``--fargate-report-json``.

Stories and recordings are known by where they stand in the records, and read when they are needed: a run may have more
of them than there is memory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.outcome_words import UNFINISHED
from pytest_fargate_sandbox.leaves.process_identity import still_runs
from pytest_fargate_sandbox.leaves.what_is_meant import meant_by
from pytest_fargate_sandbox.page.page_data import page_data
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.records.run_records import RECORDS_VERSION, RunRecords, all_runs
from pytest_fargate_sandbox.records.run_report import REPORT_VERSION, run_report

if TYPE_CHECKING:
    from collections.abc import Iterator

LAST = "last"
_INTERRUPTED = 2
"""Exit status of pytest."""


@dataclass
class FinishedRun:
    """``report`` is as in ``--fargate-report-json``, and what else the records know of the run."""

    name: str
    report: dict[str, Any]
    records: RunRecords | None = None
    _stories: dict[str, list[int]] = field(default_factory=dict)
    _recordings: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)

    @property
    def tests_with_stories(self) -> list[str]:
        return list(self._stories)

    @cached_property
    def page_data(self) -> dict[str, Any]:
        """Raises whatever a report does that is none."""
        return page_data(self.report, self.tests_with_stories)

    def story_of(self, test: str) -> dict[str, Any]:
        """Its reports that failed, in order, and what its terminals showed."""
        if self.records is None:
            return {"reports": [], "recordings": []}
        offsets = self._recordings.get(test, {}).values()
        return {
            "reports": [self.records.at(offset) for offset in self._stories.get(test, ())],
            "recordings": [self.records.at(offset) for offset in offsets],
        }


def find_run(said: str, directory: Path | None = None) -> FinishedRun:
    """Raises ``ConfigError`` where there is no such run, or a version of it that is not known."""
    path = (directory or Path()) / said
    if path.is_file():
        return _from_report(said, path)
    found = all_runs()[-1:] if said == LAST else meant_by(said, all_runs(), lambda run_id: [run_id])
    if len(found) != 1:
        raise ConfigError(_not_found(said, found), key="run", value=said)
    return _from_records(RunRecords(found[0]))


def _not_found(said: str, known: list[str]) -> str:
    if known:
        return f"{said} is the beginning of several runs: {', '.join(known[:5])}"
    latest = all_runs()[-3:]
    told = f"the latest are {', '.join(reversed(latest))}" if latest else "nothing is kept of any here"
    return f"there is no run {said}, and no such file; {told}"


def _from_report(name: str, path: Path) -> FinishedRun:
    try:
        run = FinishedRun(name, json.loads(path.read_text(encoding="utf-8")))
        version = run.report["version"]
        if isinstance(version, int) and version <= REPORT_VERSION:
            _ = run.page_data  # whoever looks at it meets no surprise
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", key="run", value=str(path)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConfigError(f"{path} is no file of --fargate-report-json", key="run", value=str(path)) from None
    if not isinstance(version, int) or version > REPORT_VERSION:
        raise ConfigError(
            f"{path} is of version {version!r}, and {REPORT_VERSION} is the latest known here: look at it with the "
            "version that wrote it",
            key="run",
            value=str(path),
        )
    return run


def _from_records(records: RunRecords) -> FinishedRun:
    run = FinishedRun(records.run_id, {}, records)
    seen = _Seen()
    for offset, event in records.events():
        seen.take(event)
        test = str(event.get("test", ""))
        if event["event"] == "story":
            run._stories.setdefault(test, []).append(offset)
        elif event["event"] == "recording":
            key = (str(event.get("task_id")), str(event.get("terminal")))
            run._recordings.setdefault(test, {})[key] = offset
    if seen.head.get("version", RECORDS_VERSION) != RECORDS_VERSION:
        text = f"the records of {records.run_id} are of version {seen.head['version']!r}: look at it with what wrote it"
        raise ConfigError(text, key="run", value=records.run_id)
    live = Ledger(records.run_id)
    ledger = live if live.path.exists() else Ledger.at(records.ledger)
    entries = ledger.entries()
    latest = max((moment[1] for entry in entries for moment in entry.moments[-1:]), default=0.0)
    run.report = {
        **run_report(entries, cluster=str(seen.head.get("cluster", "local"))),
        **{key: seen.head.get(key) for key in ("began", "title", "max_tasks")},
        "ended": seen.ended or max(seen.latest, latest),
        "state": seen.state,
        "tests": list(seen.tests()),
        "attempts": list(seen.attempts.values()),
    }
    return run


class _Seen:
    """What the events of a run come to."""

    def __init__(self) -> None:
        self.head: dict[str, Any] = {}
        self.attempts: dict[str, dict[str, Any]] = {}
        self.latest = 0.0
        self._begun: dict[str, float] = {}
        self._tests: dict[str, dict[str, Any]] = {}
        self._ended: dict[str, Any] = {}

    def take(self, event: dict[str, Any]) -> None:
        kind, test = event["event"], str(event.get("test", ""))
        self.latest = max(self.latest, float(event.get("t") or 0.0))
        if kind == "run":
            self.head = event
        elif kind == "ended":
            self._ended = event
        elif kind == "began":
            self._begun.setdefault(test, float(event["t"]))
        elif kind == "attempt":
            self.attempts[test] = event
        elif kind == "test":
            self._tests[test] = event

    @property
    def ended(self) -> float | None:
        return self._ended.get("t")

    @property
    def state(self) -> str:
        if self._ended:
            return "interrupted" if self._ended.get("exitstatus") == _INTERRUPTED else "finished"
        return "running" if still_runs(self.head) else "killed"

    def tests(self) -> Iterator[dict[str, Any]]:
        """Those too that had begun when the run was killed."""
        yield from self._tests.values()
        for test, began in self._begun.items():
            if test not in self._tests:
                yield {"test": test, "outcome": UNFINISHED, "began": began, "ended": None}

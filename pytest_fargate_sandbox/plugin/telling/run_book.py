"""What is kept of the run for whoever looks back: the controller's half of its records, and the page made of them."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.plugin.settings.places_to_write import refuse_unwritable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_fargate_sandbox.page.finished_run import FinishedRun
    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun
    from pytest_fargate_sandbox.plugin.telling.outcome_book import OutcomeBook
    from pytest_fargate_sandbox.records.run_records import RunRecords


class RunBook:
    """Writes nothing of a run that uses no sandbox, unless a page of it is wanted."""

    def __init__(self, config: pytest.Config, run: PytestRun, outcomes: OutcomeBook) -> None:
        self._config, self._run, self._outcomes = config, run, outcomes
        name = run.settings.run["html"]
        self.page: Path | None = config.invocation_params.dir / name if name else None
        self._compared: str | None = run.settings.run["compare"]
        self._earlier: FinishedRun | None = None
        self._began = time.time()
        self._unwritten: list[tuple[str, dict[str, Any]]] = []
        self._ended: set[str] = set()
        self._records: RunRecords | None = None
        self.changes: list[str] = []
        """Sentences of what is otherwise than in the run that this one is compared with."""

    def check(self) -> None:
        """Tell at the start, and not after an hour, what could not be written, or not be made."""
        if self._config.option.collectonly:
            return
        refuse_unwritable(self._run.settings, self._config.invocation_params.dir)
        if self.page is not None:
            from pytest_fargate_sandbox.page.run_page import check_writable

            try:
                check_writable(self.page)
            except OSError as error:
                raise pytest.UsageError(f"--fargate-html: {self.page}: {error.strerror}") from None
        if self._compared is not None:
            from pytest_fargate_sandbox.page.finished_run import find_run

            try:
                self._earlier = find_run(self._compared, self._config.invocation_params.dir)
            except ConfigError as error:
                raise pytest.UsageError(f"--fargate-compare: {error}") from None

    # --- as it goes -------------------------------------------------------------------------------------------------

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write("began", test=nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        test = self._outcomes.test(nodeid)
        if test is not None:
            self._ended.add(nodeid)
            self._write("test", **test)

    def attempt(self, record: Mapping[str, Any]) -> None:
        """At a benchmark task."""
        self._write("attempt", **{key: record[key] for key in _OF_AN_ATTEMPT if key in record})

    def _write(self, event: str, **facts: Any) -> None:
        if self._records is None:
            self._unwritten.append((event, facts))
            if self._is_wanted:
                self._begin()
        else:
            self._records.write(event, **facts)

    @property
    def _is_wanted(self) -> bool:
        return self.page is not None or self._compared is not None or self._run.has_ledger

    def _begin(self) -> RunRecords:
        from pytest_fargate_sandbox.leaves.process_identity import this_process
        from pytest_fargate_sandbox.records.run_records import RECORDS_VERSION, RunRecords

        records = self._records = RunRecords(self._run.run_id)
        settings = self._run.settings
        records.write(
            "run",
            version=RECORDS_VERSION,
            began=round(self._began, 3),
            title=self._config.rootpath.name,
            cluster=str(settings.config["cluster"]),
            max_tasks=settings.run["max_tasks"],
            **this_process(),
        )
        for event, facts in self._unwritten:
            records.write(event, **facts)
        self._unwritten.clear()
        return records

    # --- at its end -------------------------------------------------------------------------------------------------

    def end(self, exitstatus: int) -> None:
        """All else of the run has ended. What cannot be told of it is no failure of its tests."""
        if self._records is None and not self._is_wanted:
            return
        records = self._records or self._begin()
        for test in self._outcomes.tests():
            if test["test"] not in self._ended:  # xdist tells of no end where a worker has crashed
                records.write("test", **test)
        records.write("ended", exitstatus=int(exitstatus))
        from pytest_fargate_sandbox.records.run_records import forget_old_runs

        forget_old_runs()
        if self.page is not None or self._compared is not None:
            self._make_page()

    def _make_page(self) -> None:
        from pytest_fargate_sandbox.page.earlier_run import compared, told
        from pytest_fargate_sandbox.page.finished_run import find_run
        from pytest_fargate_sandbox.page.run_page import write_page

        try:
            run = find_run(self._run.run_id)
            changes = compared(run, self._earlier) if self._earlier else None
            self.changes = list(told(changes)) if changes else []
            if self.page is not None:
                write_page(self.page, run, changes)
        except Exception as error:  # a page is not worth the outcome of a run
            why = f"{self.page}: {error.strerror}" if self.page and isinstance(error, OSError) else str(error)
            self.page = None
            warnings.warn(pytest.PytestWarning(f"--fargate-html: {why}"), stacklevel=2)


_OF_AN_ATTEMPT = ("test", "task", "folder", "agent", "try", "verdict", "reward", "trouble", "said", "began", "ended")

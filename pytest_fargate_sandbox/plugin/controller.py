"""The controller of a run, or its only process: it tells workers, sweeps behind them, and ends the run."""

from __future__ import annotations

import contextlib
import json
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.plugin import last_run

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from pytest_fargate_sandbox.plugin.pytest_run import PytestRun
    from pytest_fargate_sandbox.plugin.settings.run_settings import Settings
    from pytest_fargate_sandbox.plugin.telling.outcome_book import OutcomeBook
    from pytest_fargate_sandbox.plugin.telling.run_book import RunBook
    from pytest_fargate_sandbox.records.ledger import Ledger


class Controller:
    """Ends the run when everybody else has: xdist has stopped its workers, fixtures are torn down."""

    def __init__(
        self, config: pytest.Config, settings: Settings, run: PytestRun, book: OutcomeBook, run_book: RunBook
    ) -> None:
        self._config = config
        self._settings = settings
        self._run = run
        self._book, self._run_book = book, run_book
        self._began = time.time()
        self._holds_engine = False
        self.report: dict[str, Any] | None = None
        """What the run was, once it is over, if it had any sandbox."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """A worker that crashed leaves no task but those on the shelf, which are the run's."""
        if error and self._ledger is not None:
            from pytest_fargate_sandbox.run.crashed_worker import clear_up_behind

            clear_up_behind(node.gateway.id, self._ledger, self._run.directory)

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, report: pytest.TestReport) -> None:
        """What a test had no time to say, it did not fail in. xdist knows no phase, and calls it a failure."""
        if self._run.begun:
            report.when = "setup"  # as in ``outcomes``: errors are known by their phase
            report.sections.insert(
                0, ("Infrastructure error", "not a failure of the test: its worker was killed, or crashed")
            )

    def pytest_runtest_logreport(self) -> None:
        """The engine goes when its last user does; hold it till the end, once anybody has started it."""
        if not self._holds_engine and self._settings.config["cluster"] == "local" and self._ledger is not None:
            from pytest_fargate_sandbox.place.engine_users import use_engine

            with contextlib.suppress(SandboxError):  # where it cannot be, the tests have told so
                use_engine()
            self._holds_engine = True

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None, Any, Any]:
        """Behind all that end something here, the threads of ``Leases`` too, and before the terminal's summary."""
        try:
            return (yield)
        finally:
            self._end_run(exitstatus)

    def _end_run(self, exitstatus: int) -> None:
        ledger = self._ledger
        if ledger is not None:
            from pytest_fargate_sandbox.records.run_report import run_report
            from pytest_fargate_sandbox.records.sweeping import clear_shelf, sweep_run

            last_run.remember(self._config, self._run.directory)
            clear_shelf(self._run.run_id)
            sweep_run(self._run.run_id)
            if self._run.reuse_book:
                self._run.reuse_book.end_what_fits_no_more()
            self.report = run_report(ledger.entries(), cluster=str(self._settings.config["cluster"]))
            if not any(self.report["counts"][alive] for alive in ("leaked", "kept", "left")):
                ledger.drop()
        self._write_report()
        self._run_book.end(exitstatus)
        if self._run.reuse_book:
            self._run.reuse_book.let_go()
        self._run.remove()

    @property
    def _ledger(self) -> Ledger | None:
        return self._run.ledger if self._run.has_ledger else None

    def _write_report(self) -> None:
        name = self._settings.run["report_json"]
        if name is None:
            return
        from pytest_fargate_sandbox.records.run_report import REPORT_VERSION, run_report

        path: Path = self._config.invocation_params.dir / name
        report = self.report or run_report([], cluster=str(self._settings.config["cluster"]))
        times = {"began": round(self._began, 3), "ended": round(time.time(), 3)}
        report = {"version": REPORT_VERSION, **times, **report, "tests": self._book.tests()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            warnings.warn(pytest.PytestWarning(f"--fargate-report-json: {path}: {error.strerror}"), stacklevel=2)


class Interrupts:
    """On Ctrl-C workers react seconds later, so the controller stops the run's tasks before it stops them."""

    def __init__(self, run: PytestRun) -> None:
        self._run = run

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.INTERRUPTED and self._run.has_workers and self._run.begun:
            from pytest_fargate_sandbox.records.sweeping import sweep_run

            sweep_run(self._run.run_id)

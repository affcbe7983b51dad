"""What all attempts of a run came to: lines of results as they come in, and a table at the end."""

from __future__ import annotations

import warnings
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.tasks.attempt_record import ResultsFile
from pytest_fargate_sandbox.tasks.quarantine import add_to_quarantine, flaky_in
from pytest_fargate_sandbox.tasks.results_table import table_of
from pytest_fargate_sandbox.tasks.task_folder import TASK_FILES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


class TaskResults:
    """In the one process that all reports come to."""

    def __init__(
        self,
        results: Path | None,
        quarantine: Path | None,
        earlier: Mapping[str, dict[str, Any]],
        tell: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """``earlier``: what a run found that this one goes on with; ``tell`` is told of every attempt."""
        for record in earlier.values():
            tell(record)
        self._tell = tell
        self._records: dict[str, dict[str, Any]] = dict(earlier)
        self._quarantine = quarantine
        self._earlier = earlier
        self._path = results
        self._file: ResultsFile | None = None

    def pytest_sessionstart(self) -> None:
        try:
            self._open()
        except OSError as error:
            raise pytest.UsageError(f"--fargate-results: {self._path}: {error.strerror}") from None

    def _open(self) -> None:
        """Where tests that drive agents themselves are all there is, we come late: with the first attempt."""
        if self._path is not None:
            self._file = ResultsFile(self._path)
            self._path = None
            for record in self._earlier.values():
                self._file.add(record)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        attempt = getattr(report, "fargate_attempt", None)
        if attempt is not None:
            self._take({"test": report.nodeid, **attempt})

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str) -> None:
        """xdist knows of a test whose worker died by its name alone."""
        file, _, name = crashitem.partition("::")
        if PurePosixPath(file).name in TASK_FILES:
            trouble = {"kind": "WorkerCrash", "message": "its worker was killed, or crashed"}
            agent, number = _whose(name)
            named = {"task": file, "folder": str(PurePosixPath(file).parent), "agent": agent, "try": number}
            self._take({"test": crashitem, **named, "verdict": "error", "reward": None, "trouble": trouble})

    def _take(self, record: dict[str, Any]) -> None:
        self._records[record["test"]] = record
        self._tell(record)
        try:
            self._open()
            if self._file is not None:
                self._file.add(record)
        except OSError as error:
            warnings.warn(pytest.PytestWarning(f"--fargate-results: {error}"), stacklevel=2)
            self._path = self._file = None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._quarantine is not None:
            try:
                add_to_quarantine(self._quarantine, flaky_in(self._records.values()))
            except OSError as error:
                warnings.warn(pytest.PytestWarning(f"--fargate-quarantine: {error}"), stacklevel=2)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._records:
            terminalreporter.write_sep("=", "tasks")
            for line in table_of(list(self._records.values())):
                terminalreporter.write_line(line)


def _whose(name: str) -> tuple[str, int | str]:
    """The agent and the try in a test's name: ``AGENT::TRY`` of what was handed in, else ``oracle[2]``."""
    agent, of_his, number = name.partition("::")
    if of_his:
        return agent, number
    agent, _, number = name.partition("@")[0].removesuffix("]").partition("[")  # xdist has its group behind it
    return agent, int(number) if number.isdecimal() else 1

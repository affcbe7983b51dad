"""The options of the trials, and their table at the end of a run; a plugin, since its words are the controller's."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.tally import HEADER, Tally, write_into

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from _pytest.terminal import TerminalReporter

PROPERTY = "chaos"
_USUAL_SEED = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos")
    group.addoption(
        "--chaos-seed", type=int, metavar="N", help="which faults strike when (default: 1, and with --soak any)"
    )
    group.addoption("--chaos-page", type=Path, metavar="FILE", help="write what came of it into the table of this page")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.chaos_seed is None:  # workers are told the options as they are by now
        config.option.chaos_seed = secrets.randbelow(10**6) if config.option.soak else _USUAL_SEED


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    rows = [tally.row() for tally in _tallies(terminalreporter)]
    if not rows:
        return
    terminalreporter.section(f"chaos, --chaos-seed={config.option.chaos_seed}")
    terminalreporter.write_line("\n".join([HEADER, *rows]))
    if config.option.chaos_page:
        write_into(config.option.chaos_page, rows)


def _tallies(reporter: TerminalReporter) -> Iterator[Tally]:
    for report in (*reporter.getreports("passed"), *reporter.getreports("failed")):
        if report.when == "call":
            yield from (Tally.from_dict(value) for name, value in report.user_properties if name == PROPERTY)

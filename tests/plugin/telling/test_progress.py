"""One live line on a terminal; nothing anywhere else."""

from __future__ import annotations

import io
import os
import pty
import re
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.plugin.telling.live_lines import LiveLines
from tests import warm_python
from tests.plugin.one_process import run_pytest, warm
from tests.tmux_screen import TmuxScreen
from tests.warm_python import PYTEST, Popen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests
    from tests.plugin.conftest import EngineLog


class Writer:
    """As much of pytest's terminal writer as the line stands before."""

    fullwidth = 40
    width_of_current_line = 3

    def __init__(self) -> None:
        self._file: io.StringIO | LiveLines = io.StringIO()


class Screen(io.StringIO):
    def close(self) -> None:
        """What was drawn can be read afterwards."""


def test_it_goes_below_pytests_line_and_goes_before_pytest_writes_on() -> None:
    writer, screen = Writer(), Screen()
    before = writer._file
    line = LiveLines(writer, screen)
    line.show(["2 starting"])
    assert screen.getvalue() == "\n\r2 starting\x1b[1A\x1b[4G"
    line.write("...")
    assert screen.getvalue().endswith("\x1b[1A\x1b[4G\x1b[J")
    line.close()
    assert writer._file is before


TESTS = "def test_it(fargate_sandbox): pass"


@pytest.fixture
def slow_engine(shared_engine_log: EngineLog, engine: EngineOfTests) -> Iterator[None]:  # noqa: ARG001
    engine.fault(slow_pull=1.2)
    yield
    engine.fault(slow_pull=0)


def on_a_terminal(pytester: pytest.Pytester, *args: str, term: str = "xterm") -> str:
    master, terminal = pty.openpty()
    command = [*PYTEST, *(word for arg in args for word in warm(arg))]
    process = Popen[bytes](
        command, cwd=pytester.path, stdout=terminal, stderr=terminal, stdin=terminal,
        env={**os.environ, "TERM": term},
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the terminal's other side is closed
            break
        if not chunk:
            break
        shown += chunk
    assert process.wait(30) == 0, shown.decode()
    os.close(master)
    return shown.decode()


@pytest.mark.parametrize(
    ("args", "drawn"),
    [((), True), (("-v",), True), (("-n1",), True), (("-q",), False), (("-s", "-p", "no:xdist"), False)],
    ids=["plain", "verbose", "xdist", "quiet", "uncaptured"],
)
@pytest.mark.usefixtures("slow_engine")
def test_it_is_drawn_where_it_can_be(pytester: pytest.Pytester, args: tuple[str, ...], drawn: bool) -> None:
    pytester.makepyfile(TESTS)
    shown = on_a_terminal(pytester, *args)
    assert ("starting (" in shown) == drawn
    assert "1 passed" in shown


@pytest.mark.usefixtures("slow_engine")
def test_nothing_is_drawn_in_ci(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    pytester.makepyfile(TESTS)
    assert "starting (" not in on_a_terminal(pytester)


@pytest.mark.usefixtures("slow_engine")
def test_nothing_is_drawn_on_a_terminal_that_only_prints(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    shown = on_a_terminal(pytester, term="dumb")
    assert "1 passed" in shown
    assert "\x1b" not in shown


@pytest.mark.usefixtures("slow_engine")
def test_nothing_is_drawn_without_a_terminal_nor_where_nothing_is_captured(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    result = run_pytest(pytester, "-p", "no:xdist", "-p", "no:capture")
    result.assert_outcomes(passed=1)
    assert "starting (" not in result.stdout.str()


@pytest.mark.usefixtures("slow_engine")
def test_on_a_narrow_terminal_it_is_short_and_leaves_the_screen_as_it_is_without_it(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    pytester.makepyfile(TESTS)
    quiet = ["-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", "--no-summary"]
    command = warm_python.command(*PYTEST, *quiet)
    screens = []
    for name, variables in (("drawn", []), ("not-drawn", ["env", "CI=true"])):
        (tmp_path / name).mkdir()
        with TmuxScreen(tmp_path / name, [*variables, *command], 20, 60, cwd=pytester.path) as screen:
            if not variables:
                screen.wait_for(lambda text: re.search("\n1 test waits \\d+ s$", text), "the live line")
            screens.append(screen.wait_for(lambda text: "code 0" in text, "the end of the run"))
    drawn, not_drawn = (re.sub("[0-9]", "0", text) for text in screens)
    assert drawn == not_drawn
    assert "test waits" not in drawn

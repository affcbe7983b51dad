"""Many processes on the real engine: what is shared is made once, bounds hold, and nothing outlives the run."""

from __future__ import annotations

import os
import pty
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.page.written_page import data_of
from tests.plugin.one_process import run_pytest
from tests.processes import children
from tests.warm_python import PYTEST

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.plugin.conftest import EngineLog

pytestmark = pytest.mark.usefixtures("no_nohup")

TESTS = """
import pytest

@pytest.mark.parametrize("n", range({count}))
def test_it(fargate_sandbox, n):
    assert fargate_sandbox.exec("{command}").ok
"""

BROKEN = """
@pytest.fixture
def before(fargate_sandbox):
    raise ValueError("before")

@pytest.fixture
def after(fargate_sandbox):
    yield
    raise ValueError("after")

def test_before(before): pass
def test_after(after): pass
"""

_HAS_ENDED = os.WEXITED | os.WNOWAIT | os.WNOHANG


def until_running(log: EngineLog, count: int) -> None:
    wait_until(
        lambda: list(log.tasks().values()).count("RUNNING") >= count or None, deadline=40, what=f"{count} running tasks"
    )


def test_what_is_shared_is_made_once_and_the_bound_holds(pytester: pytest.Pytester, engine_log: EngineLog) -> None:
    pytester.makepyfile(TESTS.format(count=4, command="true"))
    args = "-n3", "--dist=load", "--fargate-max-tasks=2", "--fargate-prelaunch=2", "--fargate-runner=namespaces"
    result = run_pytest(pytester, *args)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["4 launched; *"])
    assert engine_log.cut_off() == []
    assert [line["runner"] for line in engine_log.lines if line.get("event") == "ready"] == ["namespaces"]
    assert engine_log.calls("RegisterTaskDefinition") == 1
    assert engine_log.calls("RunTask") == 4
    assert engine_log.most_alive() <= 2


@pytest.mark.trials("dist", "each", "loadgroup", "worksteal")
def test_every_way_of_distributing_leaves_nothing_also_where_a_users_fixture_fails(
    pytester: pytest.Pytester, shared_engine_log: EngineLog, dist: str
) -> None:
    pytester.makepyfile(TESTS.format(count=1, command="true") + BROKEN)
    result = run_pytest(pytester, "-n2", f"--dist={dist}")
    times = 2 if dist == "each" else 1
    result.assert_outcomes(passed=2 * times, errors=2 * times)
    assert shared_engine_log.cut_off() == []
    assert shared_engine_log.calls("RunTask") == 3 * times


def test_tests_that_each_hold_what_the_other_needs_end(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    pytester.makepyfile(
        """
        import pathlib, pytest, time

        @pytest.mark.parametrize("n", range(2))
        def test_two(fargate_sandbox_factory, n):
            fargate_sandbox_factory()
            pathlib.Path(f"{n}.holds").touch()
            while len(list(pathlib.Path().glob("*.holds"))) < 2:
                time.sleep(0.05)
            fargate_sandbox_factory()
        """
    )
    result = run_pytest(pytester, "-n2", "--fargate-max-tasks=2", "--fargate-infra-retries=3")
    result.assert_outcomes(passed=2)
    assert shared_engine_log.cut_off() == []
    assert shared_engine_log.most_alive() == 2


def test_an_engine_that_does_not_start_fails_once_for_all(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, engine_log: EngineLog
) -> None:
    monkeypatch.setenv("FARGATE_ENGINE_OPTIONS", "--no-such-option")
    pytester.makepyfile(TESTS.format(count=4, command="true"))
    result = run_pytest(pytester, "-n2")
    result.assert_outcomes(errors=4)
    wrong = "unrecognized arguments: --no-such-option (of FARGATE_ENGINE_OPTIONS, *)"
    result.stdout.fnmatch_lines([f"the local engine did not start: {wrong}"])
    assert engine_log.lines == []


def test_an_engine_that_has_no_place_is_told_by_the_tests(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARGATE_ENGINE_DIR", "/dev/null/x")
    pytester.makepyfile(TESTS.format(count=1, command="true"))
    result = run_pytest(pytester, "-p", "no:xdist")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["FARGATE_ENGINE_DIR=/dev/null/x cannot be made: Not a directory: set another directory"]
    )


@pytest.mark.long
def test_an_image_that_cannot_be_pulled_is_launched_twice_and_told_in_full_once(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    pytester.makepyfile(TESTS.format(count=8, command="true"))
    result = run_pytest(pytester, "-n2", "--fargate-image=localhost:1/nowhere")
    result.assert_outcomes(errors=8)
    told = result.stdout.str()
    assert told.count(": CannotPullContainerError: ") >= 8
    assert told.count("tells the rest") == 7
    assert told.count("\ntask: arn:") == 1
    launches = shared_engine_log.calls("RunTask")
    assert launches <= 2
    result.stdout.fnmatch_lines([f"{launches} launched*"])


@pytest.mark.trials("workers", "-n2", "-n0")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])  # SIGHUP comes with the terminal, below
def test_after_a_signal_nothing_is_alive_and_the_page_tells_what_there_was(
    pytester: pytest.Pytester,
    shared_engine_log: EngineLog,
    started: Callable[..., subprocess.Popen[bytes]],
    workers: str,
    number: signal.Signals,
) -> None:
    pytester.makepyfile(TESTS.format(count=8, command="sleep 60"))
    run = started(workers, "--fargate-prelaunch=2", "--fargate-max-tasks=3", "--fargate-html=page.html")
    until_running(shared_engine_log, 3)
    if number == signal.SIGINT:
        os.killpg(run.pid, number)  # Ctrl-C reaches every process of the terminal
    else:
        run.send_signal(number)
    assert run.wait(90) == 2
    assert shared_engine_log.cut_off() == []
    page = data_of(pytester.path / "page.html")
    assert page["state"] == "interrupted"
    assert [test[1] for test in page["tests"]] == ["unfinished"] * (2 if workers == "-n2" else 1)
    assert len(page["machines"]) >= 3
    assert all(spans[-1][2] is not None for *_, spans, _cost, _cause in page["machines"]), "each has ended"


@pytest.mark.trials("number", pytest.param(signal.SIGTERM, id="sigterm"), pytest.param(signal.SIGINT, id="ctrl-c"))
def test_a_signal_while_the_engine_still_starts_leaves_no_trace(
    pytester: pytest.Pytester,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine_log: EngineLog,
    started: Callable[..., subprocess.Popen[bytes]],
    number: signal.Signals,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    pytester.makepyfile(TESTS.format(count=3, command="true"))
    run = started("-n0", "--fargate-prelaunch=1")
    wait_until(lambda: any(temporary.glob("fargate-sandbox-*/once/*")) or None, deadline=40, what="the prelaunch")
    run.send_signal(number)
    assert run.wait(90) == 2
    output = (pytester.path / "output.txt").read_text()
    assert "Warning" not in output
    assert "Traceback" not in output
    assert list(temporary.glob("fargate-sandbox-????????")) == []
    assert engine_log.cut_off() == []


@pytest.mark.trials("workers", "-n0", "-n2")
def test_nothing_is_alive_or_left_when_the_terminal_is_closed(
    pytester: pytest.Pytester,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shared_engine_log: EngineLog,
    workers: str,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    pytester.makepyfile(TESTS.format(count=4, command="sleep 60"))
    command = [
        sys.executable,
        *PYTEST,
        workers,
        "--fargate-report-json=report.json",
    ]
    run, terminal = pty.fork()
    if run == 0:
        os.chdir(pytester.path)
        os.execv(command[0], command)
    try:
        until_running(shared_engine_log, 1 if workers == "-n0" else 2)
        os.close(terminal)
        wait_until(lambda: os.waitid(os.P_PID, run, _HAS_ENDED), deadline=30, what="the end of the run")
    finally:
        os.killpg(run, signal.SIGKILL)  # not reaped yet, so nobody else has its number
        os.waitpid(run, 0)
    assert shared_engine_log.cut_off() == []
    assert list(temporary.glob("fargate-sandbox-????????")) == []
    assert (pytester.path / "report.json").exists()


@pytest.mark.trials("victim, engines", ("engine", 2), ("launcher", 1))
def test_an_engine_or_a_launcher_that_is_killed_is_replaced_by_one_and_tests_run_again(
    pytester: pytest.Pytester,
    engine_log: EngineLog,
    started: Callable[..., subprocess.Popen[bytes]],
    victim: str,
    engines: int,
) -> None:
    pytester.makepyfile(
        """
        import pathlib
        import pytest

        @pytest.mark.parametrize("n", range(2))
        def test_it(fargate_sandbox, n):
            pathlib.Path(f"{n}.begun").touch()
            assert fargate_sandbox.exec("sleep 1.5").ok
        """
    )
    run = started("-n2", "--fargate-prelaunch=0")
    wait_until(lambda: len(list(pytester.path.glob("*.begun"))) >= 2 or None, deadline=40, what="two tests that run")
    (engine,) = [line["pid"] for line in engine_log.lines if line.get("event") == "ready"]
    os.kill(engine if victim == "engine" else children(engine)[0], signal.SIGKILL)
    assert run.wait(90) == 0
    output = (pytester.path / "output.txt").read_text()
    assert "2 passed" in output
    assert "run again after infrastructure errors" in output
    assert "(SandboxLost: the task was lost with what ran it: " in output
    assert engine_log.engines_started() == engines
    assert engine_log.cut_off() == []


def test_after_the_controller_is_killed_the_next_run_sweeps(
    pytester: pytest.Pytester,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shared_engine_log: EngineLog,
    started: Callable[..., subprocess.Popen[bytes]],
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    pytester.makepyfile(TESTS.format(count=4, command="sleep 60"))
    run = started("-n2", "--fargate-prelaunch=1")
    until_running(shared_engine_log, 3)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert "RUNNING" in shared_engine_log.tasks().values()
    assert len(list(temporary.glob("fargate-sandbox-????????"))) == 1
    pytester.makepyfile("def test_it(fargate_sandbox): pass")
    run_pytest(pytester, "-p", "no:xdist").assert_outcomes(passed=1)
    assert shared_engine_log.cut_off(seconds=5) == []
    assert list(temporary.glob("fargate-sandbox-????????")) == []

"""A run leaves its machines to the next one of its name, which has them as new; nothing is left over."""

from __future__ import annotations

import json
import os
import signal
import stat
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.records.sweeping import sweep_ledgers
from tests.plugin.one_process import fargate, run_pytest
from tests.real_podman import busybox_image

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests
    from tests.plugin.conftest import EngineLog

pytestmark = [pytest.mark.needs("another user", "pgrep"), pytest.mark.usefixtures("no_nohup")]

SMALL = "--fargate-cpu=256", "--fargate-memory=512", "--fargate-slots=3"
INNER = "--fargate-reuse=inner"
ONE_PROCESS = "-p", "no:xdist"


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return run_pytest(pytester, "-p", "no:cacheprovider", *SMALL, *args)


def told(pytester: pytest.Pytester) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((pytester.path / "report.json").read_text())
    return data


CLEAN = """
import os, pathlib, time
import pytest

@pytest.mark.parametrize("n", range(4))
def test_it(fargate_slot, n):
    found = fargate_slot.exec("ls -A . $TMPDIR; pgrep -u $(id -u)").stdout
    assert "mark" not in found and "sleep" not in found, found
    fargate_slot.exec("touch mark $TMPDIR/mark; setsid sleep 1234 &", check=True)
    if os.environ.get("BREAK_OFF"):
        pathlib.Path(f"broken-off-{n}").touch()
        time.sleep(60)
"""


def test_three_runs_with_a_killed_one_in_the_middle(
    pytester: pytest.Pytester,
    shared_engine_log: EngineLog,
    started: Callable[..., subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    pytester.makepyfile(CLEAN)
    result = run(pytester, INNER, *ONE_PROCESS)
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "1 launched, 4 slot leases, 1 left to the next run; *",
            "left to the next run of inner: 1, the first until *",
        ]
    )
    (task,) = fargate("ps", "-q").stdout.split()
    (keys,) = (tmp_path / "cache" / "pytest-fargate-sandbox" / "kept").iterdir()
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert sweep_ledgers().stopped == []

    monkeypatch.setenv("BREAK_OFF", "1")
    broken = started(INNER, *SMALL, "-n2")
    wait_until(
        lambda: len(list(pytester.path.glob("broken-off-*"))) == 2 or None, deadline=40, what="two tests that wait"
    )
    refused = run(pytester, INNER, *ONE_PROCESS)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(
        [f"ERROR: --fargate-reuse: 'inner' is the name of run *-* (process {broken.pid}, since *), which still runs: *"]
    )
    os.kill(broken.pid, signal.SIGKILL)
    broken.wait()
    assert sweep_ledgers().stopped == []

    monkeypatch.delenv("BREAK_OFF")
    result = run(pytester, INNER, *ONE_PROCESS, "--fargate-report-json=report.json")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["0 launched, 1 taken over from an earlier run, 4 slot leases, 1 left to the next*"])
    (sandbox,) = told(pytester)["sandboxes"]
    assert (sandbox["reused"], sandbox["left"], sandbox["kept"]) == (True, True, False)
    assert [arn.rpartition("/")[2] for arn in shared_engine_log.tasks()] == [task], "it was enough for all three"

    shown = fargate("ps").stdout
    assert "LEFT inner" in shown
    assert shown.count(task[:12]) == 1
    assert fargate("stop", "inner").stdout == f"{task} stopped\n"
    assert shared_engine_log.cut_off() == []
    assert fargate("ps", "-q").stdout == ""
    assert not keys.exists()


ONE = """
def test_it(fargate_slot):
    assert fargate_slot.exec("true").ok
"""


def test_what_does_not_fit_any_more_is_stopped_and_what_is_not_asked_for_is_left_alone(
    pytester: pytest.Pytester, shared_engine_log: EngineLog, engine: EngineOfTests
) -> None:
    pytester.makepyfile(test_one=ONE, test_none="def test_it(): pass")
    run(pytester, INNER, *ONE_PROCESS, "test_one.py").assert_outcomes(passed=1)
    (first,) = shared_engine_log.tasks()
    run(pytester, INNER, *ONE_PROCESS, "test_none.py").assert_outcomes(passed=1)
    assert shared_engine_log.tasks() == {first: "RUNNING"}
    result = run(pytester, INNER, *ONE_PROCESS, "test_one.py", "--fargate-slots=4")
    result.stdout.fnmatch_lines(["1 launched, *"])
    (second,) = set(shared_engine_log.tasks()) - {first}
    wait_until(lambda: shared_engine_log.tasks()[first] == "STOPPED" or None, deadline=10, what="the first one's end")
    engine.aws.call("ecs", "StopTask", cluster="local", task=second)
    result = run(pytester, INNER, *ONE_PROCESS, "test_one.py", "--fargate-slots=4")
    result.stdout.fnmatch_lines(["1 launched, *"])
    assert fargate("stop", "inner").returncode == 0
    assert shared_engine_log.cut_off() == []


SESSION = """
import os, pathlib, time

FIND = "ls -A /root /tmp /dev/shm; pgrep -l sleep"

def test_it(fargate_session_sandbox):
    found = fargate_session_sandbox.exec(FIND).stdout
    assert "mark" not in found and "sleep" not in found, found
    fargate_session_sandbox.exec("touch /root/mark /tmp/mark /dev/shm/mark; setsid sleep 1234 &", check=True)
    if os.environ.get("BREAK_OFF"):
        pathlib.Path("broken-off").touch()
        time.sleep(60)
"""


def test_a_sandbox_of_the_session_is_left_as_new_and_by_a_killed_run_not_at_all(
    pytester: pytest.Pytester,
    any_image_log: EngineLog,
    started: Callable[..., subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In an image with few files: all of them are looked at each time."""
    args = INNER, *ONE_PROCESS, f"--fargate-image={busybox_image()}"
    pytester.makepyfile(SESSION)
    result = run(pytester, *args)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1 launched, 1 left to the next run; *"])
    result = run(pytester, *args)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["0 launched, 1 taken over from an earlier run, 1 left to the next run; *"])

    monkeypatch.setenv("BREAK_OFF", "1")
    broken = started(*SMALL, *args)
    wait_until(lambda: (pytester.path / "broken-off").exists() or None, deadline=40, what="a test that waits")
    os.kill(broken.pid, signal.SIGKILL)
    broken.wait()
    before = set(any_image_log.tasks())

    monkeypatch.delenv("BREAK_OFF")
    result = run(pytester, *args)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1 launched, 1 left to the next run; *"])
    wait_until(
        lambda: {any_image_log.tasks()[arn] for arn in before} == {"STOPPED"} or None,
        deadline=30,
        what="the end of all that the killed run had",
    )
    assert fargate("exec", "test_it", "true").stderr.startswith("fargate-sandbox: ")
    assert "no task that lives begins with 'inner'" in fargate("stop", "inner").stderr, "who entered it has it"
    assert fargate("stop", "--kept").returncode == 0
    assert any_image_log.cut_off(seconds=30) == [], "podman takes its time"


def test_a_kept_slot_is_not_cleaned_by_the_next_run(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    pytester.makepyfile("def test_it(fargate_slot):\n    fargate_slot.write_file('seen', '')\n    assert False")
    result = run(pytester, INNER, *ONE_PROCESS, "--fargate-keep=failed")
    result.stdout.fnmatch_lines(["1 launched, 1 slot lease, 1 kept; *", "kept: *::test_it until *"])
    result = run(pytester, INNER, *ONE_PROCESS)
    result.stdout.fnmatch_lines(["1 launched, 1 slot lease, 1 left to the next run; *"])
    (kept,) = [line.split()[0] for line in fargate("ps").stdout.splitlines() if "KEPT" in line]
    assert fargate("exec", kept, "ls /slots/0/home").stdout == "seen\n"
    assert fargate("stop", "inner").returncode == 0
    assert fargate("stop", "--kept").returncode == 0
    assert shared_engine_log.cut_off() == []


def test_a_name_that_is_none_is_told_before_the_first_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = run(pytester, "--fargate-reuse=../x")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --fargate-reuse: '../x' is no name for machines to be left under: *"])

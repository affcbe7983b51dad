"""A kept task outlives its run, and is entered and ended from another terminal."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import EngineLog

TESTS = """
import pytest

def test_fails(fargate_sandbox):
    fargate_sandbox.exec("echo evidence > /tmp/evidence; echo to the log > $CONTAINER_LOG")
    assert False

def test_passes(fargate_sandbox): pass

@pytest.mark.fargate(keep="never")
def test_never(fargate_sandbox): assert False
"""


def fargate(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_fargate_sandbox.cli.main", *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_failed_test_is_kept_entered_and_ended(
    pytester: pytest.Pytester, engine_log: EngineLog, tmp_path: Path, workers: str
) -> None:
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("--fargate-keep=failed", workers, "-p", "no:cacheprovider", timeout=90)
    result.assert_outcomes(failed=2, passed=1)
    (task,) = fargate("ps", "-q").stdout.split()
    result.stdout.fnmatch_lines(
        [
            "kept: *::test_fails until *:*:*",
            f"  enter: fargate-sandbox shell {task}",
            f"  end:   fargate-sandbox stop {task}",
        ]
    )
    (keys,) = (tmp_path / "cache" / "pytest-fargate-sandbox" / "kept").iterdir()
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    assert "KEPT" in (shown := fargate("ps").stdout)
    assert "::test_fails" in shown

    assert fargate("exec", task, "cat /tmp/evidence").stdout == "evidence\n"
    assert fargate("exec", task[:10], "--", "sh", "-c", "exit 7").returncode == 7
    assert fargate("exec", task, "cat", given="through stdin").stdout == "through stdin"
    shell = fargate("shell", task, given="cd /tmp\nls evidence\nexit 4\n")
    assert shell.returncode == 4
    assert "$ evidence\n" in shell.stdout
    assert "to the log" in fargate("logs", task).stdout

    assert fargate("stop", task).stdout == f"{task} stopped\n"
    assert fargate("ps", "-q").stdout == ""
    assert not keys.exists()
    assert engine_log.cut_off() == []


def test_always_keeps_what_passed_too(pytester: pytest.Pytester, engine_log: EngineLog) -> None:
    pytester.makepyfile('import pytest\n@pytest.mark.fargate(keep="always")\ndef test_it(fargate_sandbox): pass\n')
    pytester.runpytest_subprocess("-p", "no:xdist", timeout=60).assert_outcomes(passed=1)
    assert len(fargate("ps", "-q").stdout.split()) == 1
    assert fargate("stop", "--kept").returncode == 0
    assert engine_log.cut_off() == []


def test_a_kept_task_ends_with_its_time_and_its_keys_go(pytester: pytest.Pytester, engine_log: EngineLog) -> None:
    pytester.makepyfile(
        'import pytest\n@pytest.mark.fargate(keep="always", ttl=4)\ndef test_it(fargate_sandbox): pass\n'
    )
    pytester.runpytest_subprocess("-p", "no:xdist", timeout=60).assert_outcomes(passed=1)
    assert engine_log.cut_off(seconds=15) == []
    assert fargate("ps", "-q").stdout == ""
    assert list(Path(os.environ["XDG_CACHE_HOME"]).glob("**/kept/*.json")) == []


def test_what_is_not_there_is_said_in_a_sentence() -> None:
    answer = fargate("exec", "nothing", "true")
    assert answer.returncode == 1
    assert answer.stderr == (
        "fargate-sandbox: no task that lives begins with 'nothing'; `fargate-sandbox ps` lists them\n"
    )
    assert fargate("sweep").stdout == "nothing to sweep\n"

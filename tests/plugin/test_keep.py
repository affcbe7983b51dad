"""A kept task outlives its run, and is entered and ended from another terminal."""

from __future__ import annotations

import os
import shlex
import signal
import stat
import subprocess
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.cli.known_tasks import find_task
from tests import warm_python
from tests.plugin.one_process import fargate, run, run_pytest

if TYPE_CHECKING:
    import pytest

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

LEFT = r"""
for process in /proc/[0-9]*/cmdline; do tr '\0' ' ' < $process; echo; done 2> /dev/null | grep -E '^(sleep|sh -i)'
echo searched
"""


def test_a_failed_test_is_kept_entered_and_ended(
    pytester: pytest.Pytester, shared_engine_log: EngineLog, tmp_path: Path
) -> None:
    pytester.makepyfile(TESTS)
    result = run_pytest(pytester, "--fargate-keep=failed", "-n2", "-p", "no:cacheprovider")
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
    assert fargate("exec", "test_fails", "cat", given="through stdin").stdout == "through stdin"
    shell = fargate("shell", "test_a_failed_test_is_kept", given="cd /tmp\nls evidence\nexit 4\n")
    assert shell.returncode == 4
    assert "$ evidence\n" in shell.stdout
    assert "to the log" in fargate("logs", "test_a_failed_test_is_kept_entered_and_ended.py::test_fails").stdout

    assert fargate("stop", task).stdout == f"{task} stopped\n"
    assert shared_engine_log.cut_off() == []
    assert fargate("ps", "-q").stdout == ""
    assert not keys.exists()


def test_always_keeps_what_passed_too_and_what_is_interrupted_there_ends(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    pytester.makepyfile('import pytest\n@pytest.mark.fargate(keep="always")\ndef test_it(fargate_sandbox): pass\n')
    run_pytest(pytester, "-p", "no:xdist").assert_outcomes(passed=1)
    assert len(fargate("ps", "-q").stdout.split()) == 1

    for words, typed, number in (
        (["shell", "test_it"], b"sleep 76 & echo begun; sleep 77\n", signal.SIGINT),
        (["exec", "test_it", "echo begun; sleep 78"], b"", signal.SIGINT),
        (["exec", "test_it", "echo begun; sleep 79"], b"", signal.SIGTERM),
    ):
        command = ["-m", "pytest_fargate_sandbox.cli.main", *words]
        with warm_python.Popen[bytes](command, stdin=PIPE if typed else DEVNULL, stdout=PIPE, stderr=PIPE) as process:
            assert process.stdout is not None
            if process.stdin is not None:
                process.stdin.write(typed)
                process.stdin.flush()
            while b"begun" not in process.stdout.readline():
                assert process.poll() is None
            process.send_signal(number)
            assert process.wait(timeout=20) == 128 + number
            assert process.stderr is not None
            assert process.stderr.read() == b""
    assert fargate("exec", "test_it", LEFT).stdout == "searched\n"
    says_yes = shlex.join(warm_python.command("-m", "pytest_fargate_sandbox.cli.main", "exec", "test_it", "yes"))
    piped = f"set -o pipefail; {says_yes} < /dev/null | head -n 1"
    done = subprocess.run(["bash", "-c", piped], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("y\n", "", 128 + signal.SIGPIPE)

    assert fargate("stop", "--kept").returncode == 0
    assert shared_engine_log.cut_off() == []


def test_a_kept_task_ends_with_its_time_and_its_keys_go(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    pytester.makepyfile(
        'import pytest\n@pytest.mark.fargate(keep="always", ttl=4)\ndef test_it(fargate_sandbox): pass\n'
    )
    run_pytest(pytester, "-p", "no:xdist").assert_outcomes(passed=1)
    assert shared_engine_log.cut_off(seconds=15) == []
    assert fargate("ps", "-q").stdout == ""
    assert list(Path(os.environ["XDG_CACHE_HOME"]).glob("**/kept/*.json")) == []


def test_a_kept_task_is_called_by_its_tests_name_however_that_is_written(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import pytest

@pytest.mark.parametrize("value", ["a b", "a::b", "x/y[z]", "ü", "-v"])
def test_p(fargate_sandbox, value): pass

class TestC:
    def test_p(self, fargate_sandbox): pass
""",
        "--fargate-keep=always",
    )
    result.assert_outcomes(passed=6)
    for name in ("a b", "a::b", "x/y[z]", "-v"):
        assert find_task(f"test_p[{name}]").tests[0].endswith(f"::test_p[{name}]")
    assert find_task("test_p[ü]").id == find_task(r"test_p[\xfc]").id == find_task("test_p[ü").id
    assert find_task("TestC::test_p").tests[0].endswith("TestC::test_p")
    answer = fargate("stop", "test_p")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith("fargate-sandbox: 'test_p' may be any of 6 tasks: ")
    assert answer.stderr.endswith(", and 1 more; say more of one, or its id\n")
    assert fargate("stop", "--kept").returncode == 0


def test_what_is_not_there_is_said_in_a_sentence() -> None:
    answer = fargate("exec", "nothing", "true")
    assert answer.returncode == 1
    assert answer.stderr == (
        "fargate-sandbox: no task that lives begins with 'nothing'; `fargate-sandbox ps` lists them\n"
    )
    assert fargate("sweep").stdout == "nothing to sweep\n"

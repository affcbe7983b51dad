"""Beside other plugins, and with pytest's own ways to choose, look into and repeat tests."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests import warm_python
from tests.plugin.one_process import run_pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import EngineLog

LOST = """
import pytest
from pytest_fargate_sandbox import SandboxLost

attempts = []

def lose_the_first():
    attempts.append(1)
    if len(attempts) == 1:
        raise SandboxLost("the task was reclaimed", cause="spot_reclaimed")
"""


def run(pytester: pytest.Pytester, source: str, *args: str, typed: str = "") -> pytest.RunResult:
    pytester.makepyfile(test_it=source)
    return run_pytest(pytester, "-p", "no:xdist", *args, given=typed)


@pytest.mark.needs("rerunfailures")
@pytest.mark.trials("asked, mark", (["--reruns=1"], ""), ([], "@pytest.mark.flaky(reruns=1)"))
def test_rerunfailures_repeats_a_test_alone_where_it_was_asked_to(
    pytester: pytest.Pytester, shared_engine_log: EngineLog, asked: list[str], mark: str
) -> None:
    source = f"""{LOST}
{mark}
def test_lost(fargate_sandbox):
    lose_the_first()

{mark}
def test_fails(fargate_sandbox):
    assert fargate_sandbox.exec("true").return_code == 5
"""
    result = run(pytester, source, *asked, "--fargate-max-tasks=1")
    assert result.parseoutcomes() == {"passed": 1, "failed": 1, "rerun": 2}
    result.stdout.fnmatch_lines(["4 launched; *"])
    assert shared_engine_log.cut_off() == []


@pytest.mark.needs("rerunfailures")
def test_only_a_test_that_failed_in_the_end_has_its_attempts_kept(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    source = f"""{LOST}
def test_lost(fargate_sandbox, fargate_session_sandbox):
    lose_the_first()

def test_fails(fargate_sandbox):
    assert fargate_sandbox.exec("true").return_code == 5
"""
    result = run(pytester, source, "--reruns=1", "--fargate-keep=failed")
    assert result.parseoutcomes() == {"passed": 1, "failed": 1, "rerun": 2}
    kept = [line for line in result.outlines if line.startswith("kept: ")]
    assert [line.partition(" until ")[0] for line in kept] == ["kept: test_it.py::test_fails"] * 2
    assert warm_python.run("-m", "pytest_fargate_sandbox.cli.main", "stop", "--kept").returncode == 0
    assert shared_engine_log.cut_off() == []


@pytest.mark.needs("rerunfailures")
@pytest.mark.usefixtures("shared_engine_log")
def test_what_rerunfailures_was_not_asked_to_repeat_is_ours(pytester: pytest.Pytester) -> None:
    source = f"{LOST}\n@pytest.mark.flaky(reruns=0)\ndef test_lost(fargate_sandbox): lose_the_first()\n"
    result = run(pytester, source)
    assert result.parseoutcomes() == {"passed": 1}
    result.stdout.fnmatch_lines(["ran again: test_it.py::test_lost (SandboxLost: the task was reclaimed)"])


@pytest.mark.needs("rerunfailures")
def test_rerunfailures_gets_a_fresh_session_sandbox_too(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    source = """
died = []

def test_it(fargate_session_sandbox):
    if not died:
        died.append(fargate_session_sandbox.task_arn)
        fargate_session_sandbox.aws.call("ecs", "StopTask", cluster="local", task=died[0])
        fargate_session_sandbox.exec("sleep 60")  # until the task dies under it
    assert fargate_session_sandbox.exec("echo alive").stdout == "alive\\n"
"""
    result = run(pytester, source, "--reruns=1", "--fargate-max-tasks=1")
    assert result.parseoutcomes() == {"passed": 1, "rerun": 1}
    assert shared_engine_log.cut_off() == []


@pytest.mark.needs("rerunfailures")
@pytest.mark.usefixtures("shared_engine_log")
def test_an_error_stays_one_when_the_reruns_are_used_up(pytester: pytest.Pytester) -> None:
    source = f"{LOST}\ndef test_lost(fargate_sandbox):\n    attempts.clear()\n    lose_the_first()\n"
    result = run(pytester, source, "--reruns=1", "--junit-xml=junit.xml")
    assert result.parseoutcomes() == {"errors": 1, "rerun": 1}
    *_, last = ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    assert last.find("error") is not None
    assert last.find("failure") is None


def test_a_sandbox_is_alive_in_the_debugger(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    result = run(
        pytester,
        "def test_it(fargate_sandbox):\n    assert fargate_sandbox.exec('false').ok\n",
        "--pdb",
        typed="p 'alive', fargate_sandbox.exec('uname').stdout\nc\n",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*('alive', 'Linux\\n')*"])
    assert shared_engine_log.cut_off() == []


def test_last_failed_launches_for_those_alone(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    source = """
import pytest

@pytest.mark.parametrize("n", range(2))
def test_it(fargate_sandbox, n):
    assert n != 1
"""
    run(pytester, source, "--fargate-prelaunch=0").assert_outcomes(passed=1, failed=1)
    assert shared_engine_log.calls("RunTask") == 2
    run(pytester, source, "--lf", "--fargate-prelaunch=4").assert_outcomes(failed=1)
    assert shared_engine_log.calls("RunTask") == 3


def test_async_tests_use_it_as_it_is(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    source = """
import asyncio, unittest
import pytest

class TestAsync(unittest.IsolatedAsyncioTestCase):
    @pytest.fixture(autouse=True)
    def _two(self, fargate_sandbox_factory):
        self.sandboxes = fargate_sandbox_factory(), fargate_sandbox_factory()

    async def test_it(self):
        self.assertTrue(self.sandboxes[0].exec("true").ok)
        results = await asyncio.gather(*(asyncio.to_thread(each.exec, "echo $$; sleep 0.5") for each in self.sandboxes))
        self.assertTrue(all(result.ok for result in results))
"""
    run(pytester, source).assert_outcomes(passed=1)
    assert shared_engine_log.cut_off() == []

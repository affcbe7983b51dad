"""Fixtures and marker on the real engine, in one process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

if TYPE_CHECKING:
    from tests.engine_of_tests import EngineOfTests
    from tests.plugin.conftest import EngineLog


def run(pytester: pytest.Pytester, source: str, *args: str) -> pytest.RunResult:
    pytester.makepyfile(source)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist", *args, timeout=90)


def test_with_nothing_configured_at_all_a_test_has_its_own_sandbox(
    pytester: pytest.Pytester, engine_log: EngineLog
) -> None:
    result = run(
        pytester,
        """
import unittest, pytest

def test_hello(fargate_sandbox):
    assert fargate_sandbox.exec("uname").stdout == "Linux\\n"

def test_another(fargate_sandbox):
    assert fargate_sandbox.exec("touch /tmp/here; ls /tmp/here").ok

@pytest.mark.usefixtures("fargate_sandbox")
class TestUsed:
    def test_it(self, fargate_sandbox):
        assert not fargate_sandbox.exec("ls /tmp/here").ok

class TestUnittest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _sandbox(self, fargate_sandbox):
        self.sandbox = fargate_sandbox

    def test_it(self):
        self.assertTrue(self.sandbox.exec("true").ok)

def test_from_async_code(fargate_sandbox):
    import asyncio
    async def main():
        return await asyncio.to_thread(fargate_sandbox.exec, "echo async")
    assert asyncio.run(main()).stdout == "async\\n"
""",
    )
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["*fargate sandboxes*", "cluster=local (default)", "5 launched; about $*on AWS*"])
    assert engine_log.cut_off() == []
    assert engine_log.calls("RegisterTaskDefinition") == 1
    assert engine_log.calls("RunTask") == engine_log.calls("StopTask") == 5


@pytest.mark.usefixtures("shared_engine_log")
def test_the_marker_and_indirect_parameters_say_what_it_is_made_of(pytester: pytest.Pytester) -> None:
    (pytester.path / "data.txt").write_text("from here")
    result = run(
        pytester,
        """
import pytest

pytestmark = pytest.mark.fargate(cpu=256, memory=512, env={"A": "module", "B": "module"})

@pytest.mark.fargate(env={"B": "function"}, files={"/srv/data.txt": "data.txt"}, exec_timeout=0.5)
def test_marked(fargate_sandbox):
    assert fargate_sandbox.exec("echo $A $B; cat /srv/data.txt").stdout == "module function\\nfrom here"
    assert fargate_sandbox.exec("sleep 30").timed_out

@pytest.mark.parametrize("fargate_sandbox", [{"env": {"B": "parameter"}}], indirect=True)
def test_indirect(fargate_sandbox):
    assert fargate_sandbox.exec("echo $A $B").stdout == "module parameter\\n"

@pytest.mark.fargate(image="nowhere:1", retries=0)
def test_image(fargate_sandbox): pass

@pytest.mark.fargate(files={"/srv/x": "no-such-file"})
def test_files(fargate_sandbox): pass
""",
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*CannotPullContainer*nowhere:1*", "fargate(files=*no-such-file*"])


def test_a_factory_makes_several_and_a_test_that_needs_too_many_is_told(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    result = run(
        pytester,
        """
def test_two(fargate_sandbox_factory):
    server, client = fargate_sandbox_factory(env={"ROLE": "server"}), fargate_sandbox_factory()
    assert server.exec("echo $ROLE").stdout == "server\\n"
    assert client.exec("echo $ROLE").stdout == "\\n"

def test_three(fargate_sandbox_factory):
    for _ in range(3):
        fargate_sandbox_factory()

def test_typo(fargate_sandbox_factory):
    fargate_sandbox_factory(imge="x")
""",
        "--fargate-max-tasks=2",
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*this test needs 3 sandboxes at once, and the bound on tasks is 2*"])
    result.stdout.fnmatch_lines(["*fargate has no key 'imge'; did you mean 'image'?*"])
    assert shared_engine_log.cut_off() == []
    assert shared_engine_log.most_alive() == 2


def test_session_sandboxes_are_shared_and_replaced_when_they_die(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    result = run(
        pytester,
        """
import pytest

@pytest.fixture(scope="module")
def service(fargate_session_factory):
    return fargate_session_factory(env={"NAME": "service"})

def test_one(fargate_session_sandbox):
    assert fargate_session_sandbox.exec("echo 1 >> /tmp/count").ok

def test_two(fargate_session_sandbox, service):
    assert fargate_session_sandbox.exec("wc -l < /tmp/count").stdout.strip() == "1"
    assert service.exec("echo $NAME").stdout == "service\\n"

died = []

def test_death(fargate_session_sandbox):
    if not died:
        died.append(fargate_session_sandbox.task_arn)
        fargate_session_sandbox.aws.call("ecs", "StopTask", cluster="local", task=died[0])
        fargate_session_sandbox.exec("sleep 60")  # until the task dies under it
    assert fargate_session_sandbox.exec("ls /tmp/count").return_code == 2
    assert fargate_session_sandbox.task_arn != died[0]
""",
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*1 run again after infrastructure errors*"])
    assert shared_engine_log.cut_off() == []


@pytest.mark.usefixtures("shared_engine_log")
def test_a_conftest_decides_otherwise(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
import dataclasses, pytest

@pytest.fixture(scope="session")
def fargate_config(fargate_config):
    return dataclasses.replace(fargate_config, extra_env={"WHO": "conftest"})
"""
    )
    result = run(
        pytester,
        """
import pytest

@pytest.mark.parametrize("n", range(3))
def test_it(fargate_sandbox, n):
    assert fargate_sandbox.exec("echo $WHO").stdout == "conftest\\n"
""",
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["3 launched; *"])


@pytest.mark.usefixtures("shared_engine_log")
def test_hooks_are_called_through_the_items_own_conftests(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
def pytest_fargate_modify_task(item, task):
    task["extra_env"] = {**(task["extra_env"] or {}), "TEST": item.name}

def pytest_fargate_image(item):
    return "host" if "image" in item.name else None

def pytest_fargate_sandbox_started(item, sandbox):
    sandbox.exec("echo started > /tmp/hook")

def pytest_fargate_sandbox_stopped(item, sandbox):
    print("STOPPED", item.name, sandbox.is_running)
"""
    )
    result = run(
        pytester,
        """
import pytest

def test_task(fargate_sandbox):
    assert fargate_sandbox.exec("echo $TEST; cat /tmp/hook").stdout == "test_task\\nstarted\\n"

@pytest.mark.fargate(image="nowhere")
def test_image(fargate_sandbox):
    assert fargate_sandbox.exec("true").ok
""",
        "-s",
    )
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*STOPPED test_task False*", "*STOPPED test_image False*"])


@pytest.mark.usefixtures("shared_engine_log")
def test_a_failing_test_tells_its_sandboxs_story_and_its_error_in_sentences(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    result = run(
        pytester,
        """
import pytest

def test_before(fargate_sandbox):
    fargate_sandbox.exec("sleep 1")

def test_it(fargate_sandbox):
    fargate_sandbox.exec("echo working; echo complaining >&2; exit 3")
    assert False

@pytest.mark.fargate(retries=0)
def test_dies(fargate_sandbox):
    fargate_sandbox.aws.call("ecs", "StopTask", cluster="local", task=fargate_sandbox.task_arn)
    fargate_sandbox.exec("sleep 60")

@pytest.mark.timeout(1)
def test_hangs(fargate_sandbox):
    fargate_sandbox.spawn("sleep 60")
    fargate_sandbox.exec("echo so far; sleep 60")

def test_is_shown_in_full(fargate_sandbox):
    fargate_sandbox.upload(5, "/tmp/five")
""",
        "--junit-xml=junit.xml",
    )
    result.assert_outcomes(passed=1, failed=3, errors=1)
    result.stdout.fnmatch_lines(
        [
            ">       fargate_sandbox.exec(*sleep 60*)",
            "E       pytest_fargate_sandbox.SandboxLost: the task was stopped: Task stopped by user",
            "*.py:*: SandboxLost",
            "*- Sandbox test-dies-*",
            "fargate_sandbox = <sandbox test-it-*: arn:aws:ecs:*>",
            "*- Sandbox test-it-*",
            "task: arn:aws:ecs:*",
            "image: host",
            "start: launched ahead of need*",
            "$ echo working; *exit 3, *",
            "  working",
            "  complaining",
            ">       fargate_sandbox.exec(*so far; sleep 60*)",
            "E       Failed: Timeout (>1.0s) from pytest-timeout.",
            "$ sleep 60 *[[]in the background, *",
            "$ echo so far; sleep 60 *[[]cut short by Failed: Timeout (>1.0s) from pytest-timeout., *",
            "  so far",
            "*/workspace.py:*: in upload",
            "FAILED *::test_hangs - Failed: Timeout (>1.0s) from pytest-timeout.",
            "ERROR *::test_dies - SandboxLost: *",
        ]
    )
    of_sentences, _, in_full = result.stdout.str().partition("_ test_is_shown_in_full _")
    assert not re.search(r"^\S*/(pytest_fargate_sandbox|paramiko)/\S+:\d+:|^The above", of_sentences, re.MULTILINE)
    assert "TypeError" in in_full

    cases = {
        each.get("name"): {one.get("name"): one.get("value") for one in each.iter("property")}
        for each in ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    }
    assert set(cases["test_before"]) == {"fargate_task", "fargate_image"}
    assert cases["test_it"]["fargate_image"] == "host"
    assert "$ echo working" in str(cases["test_it"]["fargate_story"])
    assert cases["test_dies"]["fargate_cause"] == "stopped_by_user"
    assert f"task: {cases['test_dies']['fargate_task']}" in str(cases["test_dies"]["fargate_story"])


def test_a_task_that_dies_is_an_error_on_a_fresh_sandbox_a_pass(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    result = run(
        pytester,
        """
arns = []

def test_it(fargate_sandbox):
    arns.append(fargate_sandbox.task_arn)
    if len(arns) == 1:
        fargate_sandbox.aws.call("ecs", "StopTask", cluster="local", task=arns[0])
        fargate_sandbox.exec("sleep 60")  # until the task dies under it
    assert fargate_sandbox.exec("echo alive").stdout == "alive\\n"
    assert len(set(arns)) == 2
""",
        "--fargate-report-json=report.json",
    )
    result.assert_outcomes(passed=1)
    report = json.loads((pytester.path / "report.json").read_text())
    assert report["counts"] == {"launched": 2, "prelaunched_unused": 0, "retried": 1, "kept": 0, "leaked": 0}
    assert report["retries"][0]["error"]["type"] == "SandboxLost"
    assert [each["tests"] for each in report["sandboxes"]][-1] == [
        "test_a_task_that_dies_is_an_error_on_a_fresh_sandbox_a_pass.py::test_it"
    ]
    assert shared_engine_log.cut_off() == []


@pytest.mark.usefixtures("shared_engine_log")
def test_the_report_is_the_run_as_data_and_its_times_are_the_clocks(
    pytester: pytest.Pytester, engine: EngineOfTests
) -> None:
    pytester.makeconftest(
        """
import pathlib, time, pytest

@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef):
    began = time.monotonic()
    try:
        return (yield)
    finally:
        if fixturedef.argname == "fargate_sandbox" and fixturedef.cached_result[2] is None:
            pathlib.Path("waited").write_text(str(time.monotonic() - began))
"""
    )
    source = """
import pytest

def test_it(fargate_sandbox):
    fargate_sandbox.exec("exit 3")
    fargate_sandbox.exec("sleep 9", 0.2)

@pytest.mark.xfail
def test_wrong(): assert False

@pytest.mark.fargate(ttl=-1)
def test_bad(fargate_sandbox): pass
"""
    before = time.time()
    engine.fault(slow_pull=1)
    try:
        result = run(pytester, source, "--fargate-report-json=out/report.json")
    finally:
        engine.fault(slow_pull=0)
    report = json.loads((pytester.path / "out" / "report.json").read_text())
    assert report["version"] == 1
    assert before < report["began"] < report["ended"] < time.time()
    assert report["cluster"] == "local"
    assert report["region"] == "us-east-1"
    assert report["engine"].startswith("http://127.0.0.1:")
    assert 0 < report["cost_usd"] < 0.1
    assert report["unused_usd"] == 0
    (sandbox,) = report["sandboxes"]
    assert sandbox["image"] == "host"
    assert sandbox["worker"] == "main"
    name = "test_the_report_is_the_run_as_data_and_its_times_are_the_clocks.py::"
    assert sandbox["tests"] == [sandbox["made_for"]] == [f"{name}test_it"]
    assert sandbox["prelaunched"] is True
    assert {"waited", "address", "tunnel", "server"} <= set(sandbox["phases"])
    waited = float((pytester.path / "waited").read_text())
    assert sum(sandbox["phases"].values()) == pytest.approx(waited, rel=0.1)
    assert sandbox["phases"]["waited"] > 0.5
    assert sandbox["launch_sec"] >= 1
    (told,) = [line for line in result.outlines if line.startswith("start, median/slowest in seconds: waited ")]
    assert f"start {sum(sandbox['phases'].values()):.2f}/" in told
    assert f"of the task itself {sandbox['launch_sec']:.2f}/" in told
    assert sandbox["kept"] is False
    times = [report["began"], *sandbox["times"].values(), report["ended"]]
    assert times == sorted(times)
    assert [(each["command"], each["return_code"], each["state"]) for each in sandbox["commands"]] == [
        ("exit 3", 3, "exit 3"),
        ("sleep 9", 124, "timed out"),
    ]
    assert sandbox["times"]["ready"] <= sandbox["commands"][0]["began"] < sandbox["times"]["stopped"]
    assert sandbox["commands"][1]["duration_sec"] >= 0.2
    assert [(each["test"].removeprefix(name), each["outcome"]) for each in report["tests"]] == [
        ("test_it", "passed"),
        ("test_wrong", "xfailed"),
        ("test_bad", "error"),
    ]
    assert [each["tasks"] for each in report["tests"]] == [[sandbox["task_arn"]], [], []]
    assert report["began"] < report["tests"][0]["began"] < report["tests"][0]["ended"] < report["ended"]


def test_a_run_begins_with_what_launches_and_tests_took_in_the_last_one(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    remembered = pytester.path / ".pytest_cache" / "v" / "fargate_sandbox" / "times"
    remembered.parent.mkdir(parents=True)
    remembered.write_text('{"": {"launch": 60, "busy": 1}, "another kind": {"launch": 5}}')
    pytester.makepyfile(
        """
import pytest

@pytest.mark.parametrize("n", range(5))
def test_it(fargate_sandbox, n):
    fargate_sandbox.exec("sleep 0.5")
"""
    )
    result = pytester.runpytest_subprocess("-p", "no:xdist", timeout=60)
    result.assert_outcomes(passed=5)
    assert shared_engine_log.most_alive() == 5, "there seemed to be need of all of them at once"
    assert shared_engine_log.calls("RunTask") == 5
    learnt = json.loads(remembered.read_text())
    assert 0 < learnt[""]["launch"] < 60
    assert learnt["another kind"] == {"launch": 5}


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan", "--fixtures", "--fixtures-per-test", "--markers"])
def test_nothing_is_launched_where_no_test_runs(pytester: pytest.Pytester, engine_log: EngineLog, option: str) -> None:
    pytester.makepyfile("def test_it(fargate_sandbox): pass")
    assert pytester.runpytest_inprocess("-p", "no:cacheprovider", option).ret == 0
    assert engine_log.lines == []


def test_nothing_is_launched_where_a_module_cannot_be_collected(
    pytester: pytest.Pytester, engine_log: EngineLog
) -> None:
    pytester.makepyfile(test_good="def test_it(fargate_sandbox): pass", test_broken="import nothing_like_it")
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(errors=1)
    assert engine_log.lines == []


def test_skipped_and_deselected_tests_are_not_prelaunched(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    result = run(
        pytester,
        """
import pytest

@pytest.mark.skip
def test_skipped(fargate_sandbox): pass

def test_left_out(fargate_sandbox): pass

def test_it(fargate_sandbox): pass
""",
        "-k", "not left_out", "--fargate-prelaunch=5",
    )  # fmt: skip
    result.assert_outcomes(passed=1, skipped=1, deselected=1)
    assert shared_engine_log.calls("RunTask") == 1


def test_what_was_prelaunched_and_not_needed_is_stopped_and_counted(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    result = run(
        pytester,
        """
import pytest

@pytest.mark.parametrize("n", range(9))
def test_it(fargate_sandbox, n):
    fargate_sandbox.exec("sleep 1")
    assert False
""",
        "-x", "--fargate-prelaunch=3",
    )  # fmt: skip
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["4 launched, 3 prelaunched and unused; *"])
    assert shared_engine_log.cut_off() == []


@pytest.mark.usefixtures("shared_engine_log")
def test_works_without_a_terminal_reporter(pytester: pytest.Pytester) -> None:
    assert run(pytester, "def test_it(fargate_sandbox): pass", "-p", "no:terminal").ret == 0


@pytest.mark.usefixtures("shared_engine_log")
def test_a_cluster_that_does_not_exist_is_an_error_on_the_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import dataclasses, pytest
from pytest_fargate_sandbox.place.local_cluster import local_engine

@pytest.fixture(scope="session")
def fargate_config(fargate_config):
    engine = local_engine()
    here = engine.localized(fargate_config)
    import os
    os.environ.update(AWS_ACCESS_KEY_ID=engine.credentials.access_key_id,
                      AWS_SECRET_ACCESS_KEY=engine.credentials.secret_access_key)
    return dataclasses.replace(here, cluster="nowhere", image_template="host")

def test_it(fargate_sandbox): pass
""",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_it*",
            "*ClusterNotFound*",
            "there is no ECS cluster 'nowhere'*: check `--fargate-cluster` and `--fargate-region` (*",
        ]
    )


def test_the_runner_that_was_asked_for_reaches_the_engine(pytester: pytest.Pytester, engine_log: EngineLog) -> None:
    pytester.makepyfile("def test_it(fargate_sandbox): pass\ndef test_other(fargate_sandbox): pass")
    result = pytester.runpytest_subprocess("-n2", "--fargate-runner=namespaces", timeout=60)
    result.assert_outcomes(passed=2)
    assert engine_log.engines_started() == 1
    assert next(line["runner"] for line in engine_log.lines if line.get("event") == "ready") == "namespaces"


def test_an_engine_that_was_started_by_hand_serves_run_after_run(
    pytester: pytest.Pytester, engine_log: EngineLog
) -> None:
    state = pytester.path / "state"
    command = [sys.executable, "-m", "pytest_fargate_sandbox.cli.main", "engine", "--state", str(state)]
    pytester.makepyfile('import pytest\n@pytest.mark.fargate(image="mine")\ndef test_it(fargate_sandbox): pass\n')
    with subprocess.Popen([*command, "--image", "mine=/"], stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        while not engine.stdout.readline().startswith(b"#"):
            assert engine.poll() is None
        for workers in ("-n0", "-n2"):
            result = pytester.runpytest_subprocess(f"--fargate-engine={state}", workers, timeout=60)
            result.assert_outcomes(passed=1)
        assert engine.poll() is None
        engine.terminate()
        assert engine.wait(20) == 0
    assert engine_log.engines_started() == 1


@pytest.mark.needs("timeout")
def test_a_time_out_in_our_wait_leaves_nothing(
    pytester: pytest.Pytester, engine_log: EngineLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARGATE_ENGINE_LAUNCH_DELAY", "30")
    result = run(pytester, "def test_it(fargate_sandbox): pass", "--timeout=4", "--timeout-method=signal")
    assert result.parseoutcomes() == {"errors": 1} or result.parseoutcomes() == {"error": 1}
    result.stdout.fnmatch_lines(
        ["Timeout (>4.0s) from pytest-timeout.", "*What it waited for*", "*, in pytest_fargate_sandbox.*:*"]
    )
    assert engine_log.cut_off() == []


def test_a_failed_test_shows_its_terminals_and_leaves_their_recordings(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(fargate_sandbox):
    terminal = fargate_sandbox.open_terminal("work")
    terminal.run("echo on the screen")
    assert fargate_sandbox.create_session("agent").is_session_alive()
    assert fargate_sandbox.pty_start("echo by handle").output == "by handle\\n"
    assert False
""",
        "--fargate-artifacts=left",
    )
    result.stdout.fnmatch_lines(["terminal work:", "*echo on the screen", "  on the screen", "*left/*work.cast"])
    [recording] = pytester.path.glob("left/*test_it/*-work.cast")
    assert "on the screen" in recording.read_text()

"""What is told of a test and of a run: stories, errors in sentences, the run as data."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from tests.plugin.one_process import run, run_pytest

if TYPE_CHECKING:
    from tests.engine_of_tests import EngineOfTests
    from tests.plugin.conftest import EngineLog


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
    for _ in range(5):
        fargate_sandbox.exec("true")
    fargate_sandbox.exec("echo working; echo complaining >&2; exit 3")
    assert False

@pytest.mark.fargate(retries=0)
def test_dies(fargate_sandbox):
    fargate_sandbox.aws.call("ecs", "StopTask", cluster="local", task=fargate_sandbox.task_arn)
    fargate_sandbox.exec("sleep 60")

@pytest.mark.timeout(1, func_only=True)
def test_hangs(fargate_sandbox):
    fargate_sandbox.spawn("sleep 60")
    fargate_sandbox.spawn("echo waited for; exit 4").wait()
    fargate_sandbox.exec("echo so far; sleep 60")

def test_is_shown_in_full(fargate_sandbox):
    fargate_sandbox._starts = None  # as a mistake of ours would have it
    fargate_sandbox.remember("/tmp")
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
            "the last 5 of its commands:",
            "$ true *",
            "$ echo working; *exit 3, *",
            "  working",
            "  complaining",
            ">       fargate_sandbox.exec(*so far; sleep 60*)",
            "E       Failed: Timeout (>1.0s) from pytest-timeout.",
            "$ sleep 60 *[[]in the background, *",
            "$ echo waited for; exit 4 *[[]exit 4, *",
            "  waited for",
            "$ echo so far; sleep 60 *[[]cut short by Failed: Timeout (>1.0s) from pytest-timeout., *",
            "  so far",
            "*/workspace.py:*: AttributeError",
            "FAILED *::test_hangs - Failed: Timeout (>1.0s) from pytest-timeout.",
            "ERROR *::test_dies - SandboxLost: *",
        ]
    )
    of_sentences, _, in_full = result.stdout.str().partition("_ test_is_shown_in_full _")
    assert not re.search(r"^\S*/(pytest_fargate_sandbox|paramiko)/\S+:\d+:|^The above", of_sentences, re.MULTILINE)
    assert "AttributeError" in in_full

    cases = {
        each.get("name"): {one.get("name"): one.get("value") for one in each.iter("property")}
        for each in ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    }
    assert set(cases["test_before"]) == {"fargate_task", "fargate_image"}
    assert cases["test_it"]["fargate_image"] == "host"
    assert "$ echo working" in str(cases["test_it"]["fargate_story"])
    assert cases["test_dies"]["fargate_cause"] == "stopped_by_user"
    assert f"task: {cases['test_dies']['fargate_task']}" in str(cases["test_dies"]["fargate_story"])


def test_of_a_library_between_our_frames_nothing_is_shown(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
OURS = {"__name__": "pytest_fargate_sandbox.somewhere"}
exec('''
import contextlib

@contextlib.contextmanager
def block():
    yield
    raise TimeoutError("it is late")

def verb():
    with block():
        pass
''', OURS)

def test_it():
    OURS["verb"]()
""",
    )
    shown = ['>       OURS[[]"verb"[]]()', "E       TimeoutError: it is late", "*.py:16: TimeoutError"]
    result.stdout.fnmatch_lines(shown)
    result.stdout.no_fnmatch_line("*contextlib.py*")


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
    counts = {"launched": 2, "prelaunched_unused": 0, "retried": 1, "kept": 0, "left": 0, "reused": 0, "leaked": 0}
    assert report["counts"] == {**counts, "slots_leased": 0, "slots_retired": 0}
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
import os, pathlib, time, pytest

def launches():
    return pathlib.Path(os.environ["FARGATE_ENGINE_LOG"]).read_text().count('"RunTask"')

BEFORE = launches()

@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef):
    while launches() == BEFORE:  # or the test might come first, and launch for itself
        time.sleep(0.02)
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


@pytest.mark.usefixtures("shared_engine_log")
def test_a_failed_test_shows_its_terminals_and_leaves_their_recordings(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
def test_it(fargate_sandbox):
    terminal = fargate_sandbox.open_terminal("../wo/rk")
    terminal.run("echo on the screen")
    assert fargate_sandbox.create_session(".._wo_rk").is_session_alive()
    assert fargate_sandbox.pty_start("echo by handle").output == "by handle\\n"
    assert False
""",
        "--fargate-artifacts=left",
    )
    result.stdout.fnmatch_lines(["terminal ../wo/rk:", "*echo on the screen", "  on the screen", "*left/*wo_rk.cast"])
    recordings = list(pytester.path.glob("left/*test_it/*-.._wo_rk*.cast"))
    assert sorted("on the screen" in recording.read_text() for recording in recordings) == [False, True]


@pytest.mark.usefixtures("shared_engine_log")
def test_works_without_a_terminal_reporter(pytester: pytest.Pytester) -> None:
    assert run(pytester, "def test_it(fargate_sandbox): pass", "-p", "no:terminal").ret == 0


@pytest.mark.usefixtures("shared_engine_log")
def test_a_name_that_is_no_text_does_not_end_a_run_of_many_processes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_it(fargate_sandbox):
            fargate_sandbox.exec("mkdir /tmp/odd; touch /tmp/odd/$(printf '\\\\377')", check=True)
            raise ValueError(fargate_sandbox.list_files("/tmp/odd")[0])
        """
    )
    result = run_pytest(pytester, "-n1")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *ValueError: *udcff*"])

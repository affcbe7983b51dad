"""Task folders run by pytest, each test with the outcome that it has to have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.page import figures
from pytest_fargate_sandbox.page.finished_run import find_run
from pytest_fargate_sandbox.plugin.tasks_as_tests.task_results import TaskResults
from tests.components import need
from tests.plugin.one_process import run_pytest
from tests.task_folders import SOLVE, TEST, TOML, make_task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.plugin.conftest import EngineLog

RUN = ("-p", "no:cacheprovider", "--fargate-tasks", "-rA", "--fargate-infra-retries=1")
GIVES_ALL = "#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n"
SHARED = TOML + '[verifier]\nenvironment_mode = "shared"\n'


@pytest.fixture
def tasks(pytester: pytest.Pytester) -> Path:
    tasks = pytester.path / "tasks"
    make_task(tasks / "sound", toml=TOML + "[agent]\ntimeout = 60\n")
    make_task(tasks / "generous", test=GIVES_ALL)
    make_task(tasks / "unsolved", solve="#!/bin/bash\necho goodbye > hello.txt\n")
    make_task(tasks / "mute", test="#!/bin/bash\necho no reward today\n")
    make_task(tasks / "shared", toml=SHARED)
    make_task(tasks / "no-tests", test=None)
    make_task(tasks / "windows", solve=SOLVE.replace("\n", "\r\n"))
    return tasks


OUTCOMES = {
    "sound": {"oracle": "PASSED"},
    "generous": {"nop": "FAILED", "replaces": "FAILED"},
    "unsolved": {"oracle": "FAILED"},
    "mute": {"oracle": "ERROR"},
    "shared": {"oracle": "PASSED", "nop": "PASSED", "replaces": "XFAIL"},
    "no-tests": {"oracle": "ERROR"},
    "windows": {"oracle": "ERROR"},
}


@pytest.mark.root
@pytest.mark.usefixtures("tasks")
def test_each_task_has_the_outcome_that_it_deserves(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    some = "oracle and not generous or generous and not oracle or shared"
    args = ("-n2", "--fargate-adversaries=replaces", "--junitxml=junit.xml", "-k", some)
    result = run_pytest(pytester, *RUN, *args)
    found: dict[str, dict[str, str]] = {}
    for line in result.outlines:
        word, _, rest = line.partition(" ")
        if word in ("PASSED", "FAILED", "ERROR", "XFAIL") and rest.startswith("tasks/"):
            task, _, name = rest.partition(" ")[0].removeprefix("tasks/").partition("/task.toml::")
            found.setdefault(task, {})[name] = word
    assert found == OUTCOMES
    told = result.stdout.str()
    for sentence in (
        "nop got the whole reward, and does nothing",
        "the solution got 0, and has to get 1",
        "the verifier had a sandbox of its own, with no more of the agent's than /app, /logs/artifacts: ",
        "if its solution changes more, --fargate-verifier=shared has it verified where it was",
        "the verifier left no reward: neither reward.json nor reward.txt is in /logs/verifier (it returned 0)",
        "no reward today",
        "sound/task.toml:5:1: nobody reads 'agent.timeout'; did you mean 'timeout_sec'?",
        "replaces got the whole reward, and puts others in the place of tests, pytest, python and programs in PATH",
        "as a shared verifier lets him",
        "no-tests: tests/test.sh is not there: the task has no tests that could be run",
        "windows: solution/solve.sh has the line ends of Windows (CRLF), so its interpreter is not found: dos2unix",
    ):
        assert sentence in told
    assert "Infrastructure error" not in told
    assert "run again" not in told, "what is no trouble of the infrastructure's is not tried again"
    assert "Traceback" not in told
    junit = (pytester.path / "junit.xml").read_text()
    assert 'errors="3" failures="3" skipped="1"' in junit
    assert '<property name="fargate_no_verdict" value="the verifier left no reward' in junit
    assert shared_engine_log.cut_off() == []


def test_nothing_is_launched_for_a_solution_that_is_not_there(pytester: pytest.Pytester) -> None:
    make_task(pytester.path / "x", solve=None)
    result = run_pytest(pytester, *RUN, "-p", "no:xdist", "-m", "oracle")
    result.assert_outcomes(errors=1, deselected=5)
    assert "x: solution/solve.sh is not there: the task has no solution" in result.stdout.str()
    assert "= fargate sandboxes =" not in result.stdout.str()


@pytest.mark.usefixtures("shared_engine_log")
def test_a_task_that_does_not_say_where_it_is_verified_is_where_the_run_says(pytester: pytest.Pytester) -> None:
    elsewhere = {
        "solve": SOLVE.replace("hello.txt", "/logs/agent/it"),
        "test": TEST.replace("hello.txt", "/logs/agent/it"),
    }
    make_task(pytester.path / "says-nothing", **elsewhere)
    make_task(pytester.path / "separate", toml=SHARED.replace("shared", "separate"), **elsewhere)
    run = (*RUN, "-p", "no:xdist", "-m", "oracle", "--fargate-verifier=shared")
    result = run_pytest(pytester, *run)
    result.stdout.fnmatch_lines_random(
        ["PASSED says-nothing/task.toml::oracle*", "FAILED separate/task.toml::oracle*", "*1 failed, 1 passed*"]
    )


def test_infrastructure_trouble_is_tried_again_and_no_verdict(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    make_task(pytester.path / "x", solve="#!/bin/bash\nsleep 60\n")
    pytester.makeconftest(
        """
def pytest_fargate_sandbox_started(item, sandbox):
    sandbox.aws.call("ecs", "StopTask", cluster="local", task=sandbox.task_arn)
"""
    )
    result = run_pytest(pytester, *RUN, "-p", "no:xdist", "-m", "oracle")
    result.assert_outcomes(errors=1, deselected=5)
    result.stdout.fnmatch_lines(["*not a failure of the test*", "*1 run again after infrastructure errors*"])
    assert shared_engine_log.cut_off() == []


@pytest.mark.usefixtures("shared_engine_log")
def test_the_last_failed_are_run_again_alone(pytester: pytest.Pytester) -> None:
    make_task(pytester.path / "a", test=GIVES_ALL, toml=SHARED)
    make_task(pytester.path / "b", toml=SHARED)
    run = ("--fargate-tasks", "-p", "no:xdist", "--fargate-adversaries=none")
    run_pytest(pytester, *run, "-k", "nop").assert_outcomes(passed=1, failed=1, deselected=2)
    run_pytest(pytester, *run, "--lf").assert_outcomes(failed=1)


def test_results_are_carried_on_with_and_flaky_tasks_quarantined(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    make_task(pytester.path / "flaky", test='#!/bin/bash\necho "$PASSES" > /logs/verifier/reward.txt\n')
    make_task(pytester.path / "sound", toml=SHARED)
    pytester.makeconftest(
        """
def pytest_fargate_modify_task(item, task):
    passes = int("oracle[1]" in item.name)
    task["extra_env"] = {"PASSES": str(passes)}
"""
    )
    run = (
        *RUN,
        "-pno:xdist",
        "--fargate-adversaries=none",
        "--fargate-repeat=2",
        "--fargate-results=new/results.jsonl",
    )
    quarantine = "--fargate-quarantine=q.txt"
    first = run_pytest(pytester, *run, quarantine, "-k", "flaky and oracle or sound and nop")
    first.assert_outcomes(passed=3, failed=1, deselected=4)
    first.stdout.fnmatch_lines(
        ["flaky * oracle * 1 of 2 * 0.50 [[]0.09, 0.91] * 0.00 (k=2)", "evaluable: 4 of 4 attempts"]
    )
    assert "flaky/task.toml  # oracle got the reward 1 of 2 times" in (pytester.path / "q.txt").read_text()
    [line, *others] = (pytester.path / "new/results.jsonl").read_text().splitlines()
    found = json.loads(line)
    assert len(others) == 3
    assert {"artifacts", "tests", "verdict"} <= set(found["hashes"])
    assert found["images"] == {"agent": "host", "verifier": "host"}
    assert found["cost_usd"] > 0
    assert found["phases"]["verify"] > 0
    shared_engine_log.forget()
    resumed = ("--fargate-resume=new/results.jsonl", quarantine, "-k", "oracle or sound")
    second = run_pytest(pytester, *run, *resumed)
    second.assert_outcomes(passed=2, deselected=6)
    assert shared_engine_log.calls("RunTask") == 2
    second.stdout.fnmatch_lines(["evaluable: 6 of 6 attempts"])
    third = pytester.runpytest_inprocess(
        "--fargate-tasks", "-p", "no:xdist", "--fargate-quarantine=q.txt", "-k", "flaky", "-rs"
    )
    third.assert_outcomes(skipped=6, deselected=6)
    third.stdout.fnmatch_lines(["*quarantined: oracle got the reward 1 of 2 times*"])
    bad = pytester.runpytest_inprocess("--fargate-tasks", "-p", "no:xdist", "--fargate-resume=nowhere")
    bad.stderr.fnmatch_lines(["ERROR: --fargate-resume: *nowhere cannot be read*"])


@pytest.mark.root
@pytest.mark.needs("slirp4netns")
@pytest.mark.usefixtures("shared_engine_log")
def test_a_task_has_the_internet_unless_it_or_the_option_says_otherwise(pytester: pytest.Pytester) -> None:
    seen = "#!/bin/bash\ngrep -c tap0 /proc/net/dev > seen; true\n"
    for name, more, ways in (("silent", "", 1), ("closed", 'network_mode = "no-network"\n', 0)):
        test = f"#!/bin/bash\n[ $(cat seen) = {ways} ] && echo 1 > /logs/verifier/reward.txt\n"
        toml = SHARED.replace("[verifier]", f"{more}[verifier]")
        make_task(pytester.path / name, toml=toml, solve=seen, test=test)
    run = (*RUN, "-p", "no:xdist", "-k", "oracle")
    run_pytest(pytester, *run).assert_outcomes(passed=2, deselected=10)
    closed = run_pytest(pytester, *run, "--fargate-network=none")
    closed.assert_outcomes(passed=1, failed=1, deselected=10)


def test_without_the_internet_tasks_run_and_say_so_also_where_warnings_are_errors(
    pytester: pytest.Pytester, engine_log: EngineLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pytester.path / "programs").mkdir()
    monkeypatch.setenv("PATH", str(pytester.path / "programs"))  # no slirp4netns
    make_task(pytester.path / "generous", test=GIVES_ALL, toml=SHARED)
    args = ("-p", "no:xdist", "-k", "oracle or nop", "-Werror", "--fargate-results=results")
    result = run_pytest(pytester, *RUN, *args)
    result.assert_outcomes(passed=1, failed=1, deselected=4)
    why = "slirp4netns is not installed on this machine (Debian: apt-get install slirp4netns)"
    result.stdout.fnmatch_lines(
        [
            f"it ran without any network, where it expects the internet: {why}",
            f"tried without any network, where the internet is expected: 2 attempts ({why})",
        ]
    )
    results = (pytester.path / "results").read_text().splitlines()
    assert [json.loads(line)["no_internet"] for line in results] == [why, why]
    assert engine_log.engines_started() == 1


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("oracle", ("oracle", 1)),
        ("oracle[2]", ("oracle", 2)),
        ("oracle[2]@group", ("oracle", 2)),
        ("forges", ("forges", 1)),
        ("claude (2)::try-3", ("claude (2)", "try-3")),
    ],
)
def test_an_attempt_whose_worker_was_killed_is_his_who_made_it(name: str, whose: tuple[str, int | str]) -> None:
    told: list[Mapping[str, Any]] = []
    TaskResults(None, None, {}, told.append).pytest_handlecrashitem(f"tasks/a/task.toml::{name}")
    assert [(each["agent"], each["try"], each["folder"], each["verdict"]) for each in told] == [
        (*whose, "tasks/a", "error")
    ]


def test_a_worker_that_is_killed_leaves_an_attempt_without_a_verdict(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    for name in ("killed", "other"):
        make_task(pytester.path / name, toml=SHARED)
    pytester.makeconftest(
        """
import os, signal

def pytest_fargate_sandbox_started(item, sandbox):
    if item.nodeid == "killed/task.toml::oracle":
        os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    result = run_pytest(pytester, *RUN, "-n2", "--fargate-results=r.jsonl", "-m", "oracle")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["evaluable: 1 of 2 attempts (1 WorkerCrash)"])
    records = [json.loads(line) for line in (pytester.path / "r.jsonl").read_text().splitlines()]
    assert sorted((each["test"], each["agent"], each["verdict"]) for each in records) == [
        ("killed/task.toml::oracle", "oracle", "error"),
        ("other/task.toml::oracle", "oracle", "pass"),
    ]
    kept = find_run("last").report
    assert sorted((each["test"], each["outcome"]) for each in kept["tests"]) == [
        ("killed/task.toml::oracle", "error"),
        ("other/task.toml::oracle", "passed"),
    ]
    assert [figures.evaluable(kept), len(kept["attempts"])] == [(1, 2), 2]
    assert shared_engine_log.cut_off() == []


NEEDS_ROOT = "#!/bin/bash\ntouch /etc/by-root || exit\necho hello > hello.txt\n"


@pytest.mark.long
def test_in_slots_the_outcomes_are_those_of_sandboxes(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    """What passes there, passes; all else is tried again, and the first task of a kind has no machine to share."""
    need("another user")
    tasks = pytester.path / "tasks"
    make_task(tasks / "1-first")
    make_task(tasks / "2-sound")
    make_task(tasks / "3-generous", test=GIVES_ALL)
    make_task(tasks / "4-root", solve=NEEDS_ROOT)
    args = ("-p", "no:xdist", "--fargate-adversaries=exits", "--fargate-task-slots", "--fargate-results=r.jsonl")
    some = "oracle or sound or generous and nop"
    result = run_pytest(pytester, *RUN, *args, "-k", some)
    result.assert_outcomes(passed=6, failed=1, deselected=5)
    records = [json.loads(line) for line in (pytester.path / "r.jsonl").read_text().splitlines()]
    assert {record["test"].removeprefix("tasks/"): (record["in_slots"], record["verdict"]) for record in records} == {
        "1-first/task.toml::oracle": (False, "pass"),
        "2-sound/task.toml::oracle": (True, "pass"),
        "2-sound/task.toml::nop": (True, "fail"),
        "2-sound/task.toml::exits": (False, "fail"),
        "3-generous/task.toml::oracle": (True, "pass"),
        "3-generous/task.toml::nop": (False, "pass"),
        "4-root/task.toml::oracle": (False, "pass"),
    }
    told = result.stdout.str()
    assert "nop got the whole reward, and does nothing" in told
    assert "in slots the reward was 1, so sandboxes of its own decide" in told
    assert shared_engine_log.cut_off() == []

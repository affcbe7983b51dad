"""A run as a page: that it is written, of what, and what is told where it cannot be."""

from __future__ import annotations

import subprocess

import pytest

from pytest_fargate_sandbox.page.finished_run import find_run
from tests.page.written_page import data_of
from tests.plugin.one_process import run


@pytest.mark.usefixtures("shared_engine_log")
def test_a_page_has_each_attempt_with_its_commands_and_what_its_terminals_showed(pytester: pytest.Pytester) -> None:
    source = """
import os, pytest
from pytest_fargate_sandbox.leaves.errors import TransportError

attempts = []

def test_again(fargate_sandbox):
    attempts.append(fargate_sandbox.exec("echo the first").stdout)
    if len(attempts) == 1:
        raise TransportError("the connection broke")

def test_fails(fargate_sandbox):
    fargate_sandbox.open_terminal("shell").run("echo shown")
    assert fargate_sandbox.exec("echo said; exit 3").ok

def test_plain():
    assert False, "not of a sandbox"

def test_kills(fargate_sandbox):
    if os.environ.get("KILLS"):
        os.kill(os.getpid(), 9)
"""
    result = run(pytester, source, "--fargate-html=out/page.html", "--fargate-report-json=report.json")
    result.stdout.fnmatch_lines([f"the run as a page: {pytester.path}/out/page.html"])
    data = data_of(pytester.path / "out" / "page.html")
    assert [data["state"], data["evaluable"], data["counts"]["retried"]] == ["finished", [4, 4], 1]
    assert [test[1] for test in data["tests"]] == ["passed", "failed", "failed", "passed"]
    assert [len(machine[4]) for machine in data["machines"]] == [1, 1, 1, 1]
    names = [name for name, began, ended in data["machines"][1][5] if ended >= began]
    assert [name for name in names if name in ("launch", "tunnel", "server", "idle", "stop")][-3:] == [
        "server",
        "idle",
        "stop",
    ]
    of_run = find_run("last")
    again, fails, plain = (of_run.story_of(test)["reports"] for test in of_run.tests_with_stories)
    assert [again[0]["attempt"], again[0]["infrastructure"]["type"]] == [1, "TransportError"]
    assert again[0]["sandboxes"][0]["commands"][0]["stdout"] == "the first\n"
    assert [fails[0]["sandboxes"][0]["commands"][-1][key] for key in ("stdout", "state")] == ["said\n", "exit 3"]
    assert "shown" in fails[0]["sandboxes"][0]["screens"]["shell"]
    [recording] = of_run.story_of(of_run.tests_with_stories[1])["recordings"]
    assert "shown" in recording["text"]
    assert "not of a sandbox" in plain[0]["error"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KILLS", "1")
        killed = run(pytester, source, "--fargate-compare=report.json", "-k", "plain or kills")
    assert killed.ret == -9
    of_run = find_run("last")
    assert of_run.report["state"] == "killed"
    assert [test["outcome"] for test in of_run.report["tests"]] == ["failed", "unfinished"]
    assert len(of_run.report["sandboxes"]) == 1


def test_what_cannot_be_is_told_before_anything_runs(pytester: pytest.Pytester) -> None:
    source = "def test_it(): open('ran', 'w')"
    for option, told in {
        "--fargate-html=/proc/page.html": "ERROR: --fargate-html: /proc/page.html: *",
        "--fargate-html=/dev/full": "ERROR: --fargate-html: /dev/full: is no regular file",
        "--fargate-html=.": f"ERROR: --fargate-html: {pytester.path}: Is a directory",
        "--fargate-report-json=.": f"ERROR: --fargate-report-json: {pytester.path}: Is a directory",
        "--fargate-compare=yesterday": "ERROR: --fargate-compare: there is no run yesterday, and no such file; *",
    }.items():
        result = run(pytester, source, option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([told])
    assert not (pytester.path / "ran").exists()
    run(pytester, source, "--fargate-html=page.html")
    assert data_of(pytester.path / "page.html")["machines"] == []


@pytest.mark.root
def test_a_directory_that_nothing_is_written_to_is_no_matter_of_permissions(pytester: pytest.Pytester) -> None:
    place = pytester.mkdir("place")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", place], check=True)
    try:
        for option in ("--fargate-report-json", "--fargate-html", "--fargate-artifacts"):
            result = run(pytester, "def test_it(): pass", f"{option}={place}/a")
            result.stderr.fnmatch_lines([f"ERROR: {option}: {place}/a: Read-only file system"])
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_page_for_which_there_is_no_room_in_the_end_is_named_and_no_failure(pytester: pytest.Pytester) -> None:
    source = """
import resource

def test_it():  # a limit is met as a full disk is: in the midst of a file, whose name the kernel does not say
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""
    result = run(pytester, source, "--fargate-html=page.html", "-p", "no:cacheprovider", "-W", "default")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines([f"*PytestWarning: --fargate-html: {pytester.path}/page.html: File too large"])
    assert not (pytester.path / "page.html").exists()

"""Task folders as tests, and no code of theirs in our process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.plugin.one_process import run_pytest
from tests.plugin.test_imports import HEAVY
from tests.task_folders import make_task

if TYPE_CHECKING:
    from pathlib import Path

COLLECT = ("-p", "no:cacheprovider", "-p", "no:xdist", "--collect-only", "-q", "-ofargate_adversaries=none")
CODE = 'import pathlib; pathlib.Path(r"{mark}").touch(); raise SystemExit("imported")\n'


@pytest.fixture
def hostile(pytester: pytest.Pytester) -> Path:
    """A task full of what pytest would import, each of which leaves a mark."""
    code = CODE.format(mark=pytester.path / "imported")
    places = ["conftest.py", "test_top.py", "__init__.py", "setup.py", "tests/conftest.py", "tests/test_outputs.py"]
    places += ["tests/__init__.py", "solution/conftest.py", "environment/test_it.py", "environment/conftest.py"]
    return make_task(pytester.path / "tasks/x", files=dict.fromkeys(places, code))


@pytest.mark.parametrize(
    ("where", "args"),
    [
        (".", []),
        (".", ["tasks"]),
        (".", ["tasks/x"]),
        (".", ["tasks/x/task.toml::oracle", "tasks/x/task.toml::nop"]),
        (".", ["--import-mode=importlib", "tasks/x"]),
        (".", ["-o", "python_files=*.py", "--doctest-modules", "tasks"]),
        (".", ["-o", "testpaths=tasks/x"]),
        ("tasks/x", []),
    ],
)
def test_nothing_in_a_task_is_imported_wherever_pytest_is_pointed_at(
    pytester: pytest.Pytester, hostile: Path, where: str, args: list[str]
) -> None:
    pytester.chdir()
    os.chdir(pytester.path / where)
    result = pytester.runpytest_inprocess(*COLLECT, "--fargate-tasks", *args)
    result.stdout.fnmatch_lines(["*task.toml::oracle", "*task.toml::nop", "*2 tests collected*"])
    assert not (pytester.path / "imported").exists()
    assert hostile.exists()


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    "args",
    [
        ["tasks/x/tests/test_outputs.py"],
        ["tasks/x/test_top.py"],
        ["--confcutdir=tasks/x/tests", "--rootdir=tasks/x/tests", "tasks/x/tests"],
        ["--keep-duplicates", "--doctest-modules", "tasks/x/environment"],
    ],
)
def test_who_names_what_is_inside_a_task_gets_no_test_and_imports_nothing(
    pytester: pytest.Pytester, args: list[str]
) -> None:
    result = pytester.runpytest_inprocess(*COLLECT, "--fargate-tasks", *args)
    assert result.ret != 0
    assert "0 tests" in result.stdout.str() or "no tests" in result.stdout.str()
    assert not (pytester.path / "imported").exists()


@pytest.mark.usefixtures("hostile")
def test_nothing_is_imported_in_workers_either(pytester: pytest.Pytester) -> None:
    result = run_pytest(pytester, "-p", "no:cacheprovider", "-n2", "--fargate-tasks", "-k", "none", "tasks/x")
    result.stdout.fnmatch_lines(["*2 workers [[]0 items[]]*"])
    assert not (pytester.path / "imported").exists()


def test_a_tasks_own_ini_is_refused(pytester: pytest.Pytester) -> None:
    """What it makes pytest import, pytest has imported before it asks any plugin: docs/tasks.md says so."""
    make_task(pytester.path / "tasks/x", files={"pytest.ini": "[pytest]\naddopts = -q\n"})
    result = pytester.runpytest_inprocess(*COLLECT, "--fargate-tasks", "tasks/x")
    result.stderr.fnmatch_lines(["ERROR: *pytest.ini is a task's own, and pytest obeys it: give it an ini of yours*"])
    pytester.makeini("[pytest]\n")
    for args in (["tasks"], ["-c", "tox.ini", "tasks/x"]):
        pytester.runpytest_inprocess(*COLLECT, "--fargate-tasks", *args).stdout.fnmatch_lines(["*2 tests collected*"])


def test_without_being_asked_a_folder_is_what_it_always_was(pytester: pytest.Pytester) -> None:
    make_task(pytester.path / "x", files={"tests/test_mine.py": "def test_it(): pass\n"})
    result = pytester.runpytest_inprocess(*COLLECT, "x")
    result.stdout.fnmatch_lines(["x/tests/test_mine.py::test_it"])


def test_the_ini_names_where_they_are_looked_for(pytester: pytest.Pytester) -> None:
    for name in ("tasks/a", "other/b"):
        make_task(pytester.path / name, files={"tests/test_mine.py": "def test_it(): pass\n"})
    pytester.makepyprojecttoml('[tool.pytest]\nfargate_tasks = ["tasks"]\n')
    result = pytester.runpytest_inprocess(*COLLECT)
    assert [line for line in result.outlines if "::" in line] == [
        "other/b/tests/test_mine.py::test_it",
        "tasks/a/task.toml::oracle",
        "tasks/a/task.toml::nop",
    ]


def test_where_they_are_looked_for_and_nothing_is_is_told(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARGATE_TASKS", "taks")
    pytester.runpytest_inprocess(*COLLECT).stderr.fnmatch_lines(
        [f"ERROR: FARGATE_TASKS: there is no directory {pytester.path}/taks"]
    )
    monkeypatch.delenv("FARGATE_TASKS")
    pytester.runpytest_inprocess("--fargate-submissions=handed-in").stderr.fnmatch_lines(
        ["ERROR: --fargate-submissions takes --fargate-tasks: *"]
    )


def test_items_are_selected_as_any_other(pytester: pytest.Pytester) -> None:
    for name in ("a", "b"):
        make_task(pytester.path / "tasks" / name)
    for args, found in (
        (["-m", "oracle"], ["tasks/a/task.toml::oracle", "tasks/b/task.toml::oracle"]),
        (["-k", "b and nop"], ["tasks/b/task.toml::nop"]),
        (["tasks/a/task.toml::nop"], ["tasks/a/task.toml::nop"]),
        (["--deselect=tasks/a", "-m", "nop"], ["tasks/b/task.toml::nop"]),
    ):
        result = pytester.runpytest_inprocess(*COLLECT, "--strict-markers", "--fargate-tasks", *args)
        assert [line for line in result.outlines if "::" in line] == found


def test_a_folder_that_cannot_be_read_is_an_error_of_its_own_tests_alone(pytester: pytest.Pytester) -> None:
    make_task(pytester.path / "tasks/good")
    make_task(pytester.path / "tasks/bad", toml="[agent]\ntimeout_sec = = 1\n")
    make_task(pytester.path / "tasks/gpu", toml="[environment]\ngpus = 1\n")
    result = pytester.runpytest_inprocess(
        "-p", "no:cacheprovider", "-p", "no:xdist", "--fargate-tasks", "-k", "not good"
    )
    result.assert_outcomes(errors=6, skipped=6, deselected=6)
    result.stdout.fnmatch_lines(["*/bad/task.toml:2:15: does not parse: Invalid value"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_key_that_nobody_reads_is_an_error_where_warnings_are(pytester: pytest.Pytester) -> None:
    make_task(pytester.path / "x", toml="[agent]\ntimeout = 1\n")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist", "--fargate-tasks", "-Werror")
    result.assert_outcomes(errors=6)
    result.stdout.fnmatch_lines(["*/x/task.toml:2:1: nobody reads 'agent.timeout'; did you mean 'timeout_sec'?"])


def test_collecting_imports_nothing_that_a_sandbox_needs(tmp_path: Path) -> None:
    make_task(tmp_path / "x")
    options = [
        "-q",
        "--collect-only",
        "-pno:cacheprovider",
        "-pno:xdist",
        "-pno:anyio",
        "--fargate-tasks",
        str(tmp_path),
    ]
    code = f"import sys, pytest; pytest.main({options}); print({set(HEAVY)} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "6 tests collected" in done.stdout
    assert done.stdout.splitlines()[-1] == "set()"


def test_tries_and_adversaries_have_names_of_their_own(pytester: pytest.Pytester) -> None:
    make_task(pytester.path / "x")
    options = ("--fargate-tasks", "--fargate-repeat=2", "--fargate-adversaries=lingers")
    result = pytester.runpytest_inprocess(*COLLECT, *options)
    assert [line.partition("::")[2] for line in result.outlines if "::" in line] == [
        "oracle[1]",
        "oracle[2]",
        "nop[1]",
        "nop[2]",
        "lingers",
    ]
    result = pytester.runpytest_inprocess(*COLLECT, "--fargate-tasks", "--fargate-adversaries=linger")
    result.stderr.fnmatch_lines(["*--fargate-adversaries=linger: expected some of *; did you mean 'lingers'?"])


def test_where_warnings_are_errors_work_for_no_task_is_a_usage_error(pytester: pytest.Pytester) -> None:
    make_task(pytester.path / "tasks/x")
    (pytester.path / "handed-in/y").mkdir(parents=True)
    result = run_pytest(pytester, *COLLECT, "-Werror", "--fargate-tasks", "--fargate-submissions=handed-in", "tasks")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: no task of this run is meant by */handed-in/y"])

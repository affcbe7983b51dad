"""What agents handed in, or did before our eyes, and the grades for it."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.plugin.one_process import run, run_pytest
from tests.task_folders import TOML, make_task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugin.conftest import EngineLog

GRADE = ("-p", "no:cacheprovider", "--fargate-tasks", "--fargate-submissions=results", "-rA")
PATCH = "--- /dev/null\n+++ b/hello.txt\n@@ -0,0 +1 @@\n+hello\n"


@pytest.fixture
def results(pytester: pytest.Pytester) -> Path:
    """Two tasks, of which one takes a hello, and what four agents handed in."""
    make_task(pytester.path / "tasks/hello", files={"instruction.md": "Say hello.\n"})
    make_task(pytester.path / "tasks/other")
    results = pytester.path / "results"
    for name, content in {
        "good/hello/1/hello.txt": "hello\n",
        "good/hello/2/sub/hello.txt": "hello\n",
        "patched/hello/1.patch": PATCH,
        "patched/hello/2.patch": "nonsense\n",
        "good/nowhere/1/x": "",
    }.items():
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text(content)
    (results / "packed/hello").mkdir(parents=True)
    for name, others in {"tar": [], "evil": ["../../tests/test.sh"]}.items():
        with tarfile.open(results / f"packed/hello/{name}.tar.gz", "w:gz") as archive:
            for path in ("hello.txt", *others):
                info = tarfile.TarInfo(path)
                info.size = 6
                archive.addfile(info, io.BytesIO(b"hello\n"))
    with zipfile.ZipFile(results / "packed/hello/zip.zip", "w") as zipped:
        zipped.writestr("hello.txt", "hello\n")
    evil_links = results / "links/hello/1"
    evil_links.mkdir(parents=True)
    (evil_links / "hello.txt").symlink_to("/etc/hostname")
    return results


@pytest.mark.usefixtures("results")
@pytest.mark.needs("patch")
def test_each_try_of_each_agent_is_graded(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    """``good``'s second try has a directory more than may cross over."""
    options = ("--fargate-results=r.jsonl", "--fargate-task-max-files=3")
    result = run_pytest(pytester, *GRADE, "-p", "no:xdist", *options)
    records = [json.loads(line) for line in (pytester.path / "r.jsonl").read_text().splitlines()]
    assert {(each["agent"], each["try"]): each["verdict"] for each in records} == {
        ("good", "1"): "pass",
        ("good", "2"): "fail",
        ("patched", "1"): "pass",
        ("patched", "2"): "fail",
        ("packed", "evil"): "fail",
        ("packed", "tar"): "pass",
        ("packed", "zip"): "pass",
        ("links", "1"): "fail",
    }
    assert {(each["task"], each["folder"]) for each in records} == {("hello", "tasks/hello")}
    [troubles] = [each["trouble"] for each in records if each["agent"] == "good" and each["try"] == "2"]
    assert "it would be more than 4000000000 bytes or 3 files (--fargate-task-max-bytes" in troubles["message"]
    result.stdout.fnmatch_lines_random(
        [
            "PASSED tasks/hello/task.toml::good::1",
            "*no task of this run is meant by */results/good/nowhere",
            "hello * good * 1 of 2 *",
            "evaluable: 8 of 8 attempts",
        ]
    )
    assert shared_engine_log.cut_off() == []


def test_a_directory_for_each_task_is_the_work_of_one_agent(pytester: pytest.Pytester, results: Path) -> None:
    make_task(pytester.path / "tasks/third")
    (results / "other.patch").write_text(PATCH)
    (results / "third").mkdir()
    found = pytester.runpytest_inprocess(*GRADE, "--collect-only", "-q", "-p", "no:xdist", "-k", "other or third")
    assert [line for line in found.outlines if "::" in line] == [
        "tasks/other/task.toml::results::1",
        "tasks/third/task.toml::results::1",
    ]
    missing = pytester.runpytest_inprocess("--fargate-tasks", "--fargate-submissions=nowhere", "-p", "no:xdist")
    missing.stderr.fnmatch_lines(["ERROR: --fargate-submissions: there is no directory *nowhere"])


@pytest.mark.usefixtures("results")
def test_a_test_drives_an_agent_and_has_him_graded(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    make_task(pytester.path / "tasks/mute", test="#!/bin/bash\necho looked\n")
    make_task(pytester.path / "tasks/steps", toml=TOML + '[[steps]]\nname = "one"\n')
    result = run(
        pytester,
        """
import pytest

@pytest.mark.parametrize("fargate_task", ["tasks/hello"], indirect=True)
def test_good(fargate_task, fargate_verifier):
    assert fargate_task.instruction == "Say hello.\\n"
    assert 3500 < fargate_task.time_left < 3600
    fargate_task.sandbox.exec("echo hello > hello.txt", cwd=fargate_task.workspace, check=True)
    assert fargate_verifier().value == fargate_verifier().value == 1
    assert not fargate_task.sandbox.is_running

@pytest.mark.fargate(task="tasks/hello")
def test_lazy(fargate_verifier):
    assert fargate_verifier().value == 1

@pytest.mark.fargate(task="tasks/hello")
def test_broken(fargate_task, fargate_verifier):
    fargate_task.sandbox.exec("rm -rf /app")
    fargate_verifier()

@pytest.mark.fargate(task="tasks/mute")
def test_mute(fargate_verifier):
    fargate_verifier()

@pytest.mark.fargate(task="tasks/hello")
def test_never_graded(fargate_task):
    fargate_task.sandbox.exec("true", check=True)

@pytest.mark.fargate(task="tasks/hello")
def test_its_own_mistake(fargate_task, fargate_verifier):
    raise KeyError("mine")

@pytest.mark.fargate(task="tasks/steps")
def test_steps(fargate_task): pass

@pytest.mark.fargate(task="tasks")
def test_none(fargate_task): pass

def test_unsaid(fargate_task): pass
""",
        "--fargate-results=r.jsonl",
    )
    result.assert_outcomes(passed=2, failed=3, errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "the agent left no directory where its workspace was, /app",
            "*NoVerdict: the verifier left no reward*",
            "steps has steps, and each of them an instruction of its own",
            "fargate_task: there is no task.toml in */tasks",
            "fargate_task: which task? *",
        ]
    )
    records = [json.loads(line) for line in (pytester.path / "r.jsonl").read_text().splitlines()]
    assert {each["agent"]: each["verdict"] for each in records} == {
        "test_good": "pass",
        "test_lazy": "fail",
        "test_broken": "fail",
        "test_mute": "none",
        "test_its_own_mistake": "error",
        "test_steps": "error",
    }
    assert {each["folder"] for each in records} == {"tasks/hello", "tasks/mute", "tasks/steps"}
    assert shared_engine_log.cut_off() == []


def test_a_changed_verifier_grades_old_work_again(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    make_task(pytester.path / "tasks/a")
    make_task(pytester.path / "tasks/b")
    make_task(pytester.path / "tasks/beside", toml=TOML + '[verifier]\nenvironment_mode = "shared"\n')
    for task in ("a", "b", "beside"):
        work = pytester.path / f"results/agent/{task}/1"
        work.mkdir(parents=True)
        (work / "hello.txt").write_text("hello\n")
    kept = ("-p", "no:cacheprovider", "--fargate-tasks", "--fargate-store=kept", "-rs", "-p", "no:xdist")
    first = run_pytest(pytester, *kept, "--fargate-submissions=results", "--fargate-results=r.jsonl")
    first.assert_outcomes(passed=3)
    test = "#!/bin/bash\necho 0 > /logs/verifier/reward.txt\necho hello is not enough any more\n"
    make_task(pytester.path / "tasks/b", test=test)
    shared_engine_log.forget()
    again = run_pytest(pytester, *kept, "--fargate-regrade=r.jsonl", "--fargate-results=r2.jsonl")
    again.assert_outcomes(failed=1, skipped=2)
    again.stdout.fnmatch_lines_random(
        [
            "*neither its tests nor the image that they run in have changed since*",
            "verified again: 1, of which 1 with another verdict",
            "  tasks/b/task.toml::agent::1: pass → fail (hello is not enough any more)",
            "evaluable: 3 of 3 attempts",
        ]
    )
    assert shared_engine_log.calls("RunTask") == 1, "a verifier, and no agent"
    found = [json.loads(line) for line in (pytester.path / "r2.jsonl").read_text().splitlines()]
    assert {each["test"]: each["verdict"] for each in found} == {
        "tasks/a/task.toml::agent::1": "pass",
        "tasks/b/task.toml::agent::1": "fail",
        "tasks/beside/task.toml::agent::1": "pass",
    }
    without = pytester.runpytest_inprocess("--fargate-tasks", "--fargate-regrade=r.jsonl", "-p", "no:xdist")
    without.stderr.fnmatch_lines(["ERROR: --fargate-regrade takes --fargate-store: *"])


def test_what_may_be_for_either_of_two_tasks_is_graded_for_none(pytester: pytest.Pytester) -> None:
    make_task(pytester.path / "tasks/a/hello")
    make_task(pytester.path / "tasks/b/hello")
    for name in ("hello", "agent/hello/1"):
        (pytester.path / "results" / name).mkdir(parents=True)
    result = pytester.runpytest_inprocess(*GRADE, "-p", "no:xdist", "--fargate-results=r.jsonl", "tasks")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["*it cannot be told whether this was handed in for *tasks/a/hello or for *tasks/b/hello*"]
    )
    verdicts = [json.loads(line)["verdict"] for line in (pytester.path / "r.jsonl").read_text().splitlines()]
    assert verdicts == ["error", "error"]

"""The files of a task that go into sandboxes, and those that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import TaskFolderError
from pytest_fargate_sandbox.tasks import task_inputs
from pytest_fargate_sandbox.tasks.task_places import agents_place
from pytest_fargate_sandbox.tasks.task_reading import read_task

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("solution/solve.sh", "tests/test.sh", "steps/one/tests/check.py", "steps/two/solution/solve.sh"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("#!/bin/sh\n")
    (tmp_path / "task.toml").write_text('[[steps]]\nname = "one"\n[[steps]]\nname = "two"\n')
    return tmp_path


def test_a_step_has_its_own_over_those_of_the_task(folder: Path) -> None:
    task = read_task(folder / "task.toml")
    one, two = task.config.steps
    assert task_inputs.solution_of(task, None).script == folder / "solution/solve.sh"
    assert task_inputs.solution_of(task, one).script == folder / "solution/solve.sh"
    assert task_inputs.solution_of(task, two).script == folder / "steps/two/solution/solve.sh"
    found = task_inputs.tests_of(task, one)
    assert found == ((folder / "tests", folder / "steps/one/tests"), folder / "tests/test.sh")


def test_what_is_missing_is_told(folder: Path) -> None:
    task = read_task(folder / "task.toml")
    (folder / "solution/solve.sh").unlink()
    with pytest.raises(TaskFolderError, match=r"solution/solve.sh is not there: the task has no solution$"):
        task_inputs.solution_of(task, None)
    (folder / "tests/test.sh").unlink()
    with pytest.raises(TaskFolderError, match=r"tests/test.sh is not there: the task has no tests that could be run$"):
        task_inputs.tests_of(task, None)


def test_a_script_with_the_line_ends_of_windows_is_told(folder: Path) -> None:
    (folder / "tests/test.sh").write_bytes(b"#!/bin/bash\r\necho\r\n")
    with pytest.raises(TaskFolderError, match=r"tests/test.sh has the line ends of Windows \(CRLF\)"):
        task_inputs.tests_of(read_task(folder / "task.toml"), None)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("/etc/passwd", "tests/link is a link out of the task's folder, to /etc/passwd"),
        ("../../elsewhere", "tests/link is a link out of the task's folder, to ../../elsewhere"),
        ("nowhere", "tests/link is a link to nothing, nowhere"),
        ("..", "tests/link is a link to a directory that it stands in"),
    ],
)
def test_a_link_that_leads_nowhere_good_is_refused(folder: Path, target: str, sentence: str) -> None:
    (folder / "tests/link").symlink_to(target)
    with (
        pytest.raises(TaskFolderError) as met,
        task_inputs.staged(read_task(folder / "task.toml"), folder / "tests"),
    ):
        pass
    assert sentence in str(met.value)


def test_a_link_within_the_task_is_followed(folder: Path) -> None:
    (folder / "tests/data").symlink_to("../steps/one/tests")
    with task_inputs.staged(read_task(folder / "task.toml"), folder / "tests") as staged:
        assert not (staged / "data").is_symlink()
        assert (staged / "data/check.py").is_file()
    assert not staged.exists()


def test_what_was_checked_out_for_its_owner_alone_is_readable_by_all(folder: Path) -> None:
    """So that a verdict does not hang on an umask, here of 077."""
    (folder / "tests/data").mkdir()
    (folder / "tests/data/table").touch()
    modes = {"": 0o700, "test.sh": 0o700, "data": 0o700, "data/table": 0o600}
    for name, mode in modes.items():
        (folder / "tests" / name).chmod(mode)
    with task_inputs.staged(read_task(folder / "task.toml"), folder / "tests") as staged:
        found = {name: oct((staged / name).stat().st_mode & 0o777) for name in modes}
    assert found == {"": "0o755", "test.sh": "0o755", "data": "0o755", "data/table": "0o644"}
    assert {name: (folder / "tests" / name).stat().st_mode & 0o777 for name in modes} == modes


def test_a_digest_knows_names_contents_and_run_bits_and_no_places(folder: Path, tmp_path: Path) -> None:
    before = task_inputs.digest_of(folder / "tests")
    moved = tmp_path / "moved"
    (folder / "tests").rename(moved)
    assert task_inputs.digest_of(moved) == before
    (moved / "test.sh").chmod(0o755)
    with_bit = task_inputs.digest_of(moved)
    (moved / "test.sh").write_text("#!/bin/sh\nx")
    assert len({before, with_bit, task_inputs.digest_of(moved)}) == 3


def test_a_value_may_be_a_variable_of_here() -> None:
    env = {"A": "${HERE}", "B": "${GONE:-else}", "C": "as ${it} is", "D": "${GONE:-}"}
    assert task_inputs.resolved(env, "env", {"HERE": "x"}) == {"A": "x", "B": "else", "C": "as ${it} is", "D": ""}
    with pytest.raises(TaskFolderError, match=r"^env.KEY is \$\{SECRET\}, and SECRET is not set here$"):
        task_inputs.resolved({"KEY": "${SECRET}"}, "env", {})


@pytest.mark.parametrize("name", ["tests", "tests/test.sh", "solution", "solution/solve.sh", "steps"])
def test_no_file_comes_from_behind_a_link_out_of_the_folder(
    folder: Path, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What the author of a task links to is this machine's, and would be read where the internet is."""
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "there"
    (folder / name).rename(elsewhere)
    (folder / name).symlink_to(elsewhere)
    task = read_task(folder / "task.toml")
    one, two = task.config.steps
    with pytest.raises(TaskFolderError, match="out of the task's folder"):  # noqa: PT012 - any of these
        task_inputs.tests_of(task, None)
        task_inputs.solution_of(task, None)
        task_inputs.solution_of(task, two)
        with task_inputs.staged(task, folder / "steps" / one.name / "tests"):
            pass


def test_neither_an_instruction_nor_a_build_comes_from_elsewhere(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "Dockerfile").write_text("FROM scratch\n")
    (folder / "instruction.md").symlink_to(elsewhere / "Dockerfile")
    (folder / "environment").symlink_to(elsewhere)
    task = read_task(folder / "task.toml")
    assert task.instruction == ""
    with pytest.raises(TaskFolderError, match="environment/Dockerfile is behind a link out of the task's folder"):
        agents_place(task)


def test_no_task_is_given_this_machines_keys() -> None:
    with pytest.raises(TaskFolderError, match="no task is given this machine's keys to AWS"):
        task_inputs.resolved({"X": "${AWS_SECRET_ACCESS_KEY}"}, "solution.env", {"AWS_SECRET_ACCESS_KEY": "secret"})


def test_a_name_is_nothing_that_a_terminal_obeys(folder: Path) -> None:
    (folder / "task.toml").write_text('[task]\nname = "a/b\\u001b[2J\\n5 passed"\n')
    assert read_task(folder / "task.toml").name == "a/b\\x1b[2J\\n5 passed"

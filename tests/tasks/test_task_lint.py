"""What ``fargate-sandbox tasks lint`` finds, and what it lets pass."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.cli.main import main
from pytest_fargate_sandbox.tasks.task_images import contexts_of, in_rounds
from pytest_fargate_sandbox.tasks.task_lint import findings, lines_of, task_files
from tests.real_podman import podman
from tests.task_folders import SOLVE, TOML, make_task

if TYPE_CHECKING:
    from pathlib import Path


def said(folder: Path, ttl: float | None = None) -> list[tuple[str, str]]:
    return [(each.level, each.text) for each in findings(task_files([folder]), ttl)]


def nothing_but_a_directory() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        directory = tarfile.TarInfo("tmp")
        directory.type = tarfile.DIRTYPE
        archive.addfile(directory)
    return made.getvalue()


def make(folder: Path, **parts: object) -> Path:
    made = make_task(folder, **parts)  # type: ignore[arg-type]
    for script in folder.rglob("*.sh"):
        script.chmod(0o755)
    return made


def test_nothing_is_said_of_a_sound_task(tmp_path: Path) -> None:
    assert said(make(tmp_path / "t")) == []


WRONG: dict[str, tuple[dict[str, object], str, str]] = {
    "no solution": ({"solve": None}, "error", "no solution"),
    "no tests": ({"test": None}, "error", "no tests that could be run"),
    "Windows": ({"solve": SOLVE.replace("\n", "\r\n")}, "error", "CRLF"),
    "no toml": ({"toml": "[environment\n"}, "error", "task.toml:1:13: does not parse"),
    "no image": ({"toml": "[agent]\n"}, "error", "neither environment.docker_image nor environment/Dockerfile"),
    "too large": ({"toml": TOML + "cpus = 64\n"}, "error", "Fargate has at most"),
    "no variable": ({"toml": TOML + 'env = { KEY = "${SURELY_NOT_SET}" }\n'}, "error", "SURELY_NOT_SET"),
    "mistyped": ({"toml": TOML + "[agent]\ntimeout = 3\n"}, "warning", "timeout_sec"),
    "no instruction": ({"files": {"instruction.md": " \n"}}, "warning", "instruction.md is empty"),
    "rounded": ({"toml": TOML + "cpus = 3\n"}, "warning", "3 CPUs are 4"),
    "unpinned": ({"toml": TOML.replace("host", "debian:13")}, "warning", "debian:13 is not pinned"),
    "unpinned base": (
        {"toml": "[agent]\n", "files": {"environment/Dockerfile": "FROM debian:13 AS one\nFROM one\n"}},
        "warning",
        "debian:13 is not pinned",
    ),
    "old": ({"toml": TOML + "allow_internet = true\n"}, "warning", "allow_internet is network_mode now"),
    "ignore": ({"files": {"tests/.harborignore": "*.log\n"}}, "warning", ".harborignore: nobody reads it here"),
    "GPU": ({"toml": TOML + "gpus = 1\n"}, "skipped", "1 GPUs"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_once(tmp_path: Path, what: str) -> None:
    parts, level, told = WRONG[what]
    [(found, text)] = said(make(tmp_path / "t", **parts))
    assert (found, told in text) == (level, True), text


@pytest.mark.needs("podman")
def test_an_entry_point_that_is_not_run_is_told_where_the_image_lies_here(tmp_path: Path) -> None:
    name = "fargate-sandbox-test-begins:1"
    podman().run("import", "--change", 'ENTRYPOINT ["/begin", "a b"]', "-", name, stdin=nothing_but_a_directory())
    try:
        toml, names = TOML.replace("host", name), f'FROM {name} AS one\nFROM one\nENTRYPOINT ["/mine"]\n'
        make(tmp_path / "a", toml=toml)
        make(tmp_path / "b", toml="[agent]\n", files={"environment/Dockerfile": names})
        make(tmp_path / "c", toml=TOML.replace("host", "surely.invalid/not-here:1"))
        told = [text for _, text in said(tmp_path) if "ENTRYPOINT" in text]
        assert [text.partition(": ")[0] for text in told] == [f"the ENTRYPOINT of {name} (/begin 'a b') is not run"]
    finally:
        podman().succeeds("rmi", "-f", name)


def test_time_outs_are_held_against_the_time_to_live(tmp_path: Path) -> None:
    make(tmp_path / "t", toml=TOML + "[agent]\ntimeout_sec = 7000\n[verifier]\ntimeout_sec = 400\n")
    assert said(tmp_path, 7400) == []
    [(level, text)] = said(tmp_path, 7200)
    assert (level, text) == ("error", "agent and verifier may take 7400 s together, and a task lives for 7200 s (ttl)")


def test_a_link_out_of_the_folder_and_a_name_that_stands_twice_are_errors(tmp_path: Path) -> None:
    (make(tmp_path / "a") / "tests/link").symlink_to("/etc/passwd")
    for name in ("b", "c"):
        make(tmp_path / name, toml='[task]\nname = "acme/same"\n' + TOML)
    first, second = said(tmp_path)
    assert "is a link out of the task's folder" in first[1]
    assert second[1].startswith(f"a task of the name 'acme/same' is also {tmp_path}/b/task.toml")


def test_the_command_says_a_line_each_and_fails_for_errors_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path / "tasks/good", toml=TOML.replace("host", "debian:13"))
    assert main(["tasks", "lint", str(tmp_path / "tasks")]) == 0
    make(tmp_path / "tasks/bad", solve=None)
    assert main(["tasks", "lint", str(tmp_path / "tasks")]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "2 tasks: 1 error, 0 that cannot be had here, 1 warning"
    assert main(["tasks", "lint", str(tmp_path / "none")]) == 1


def test_a_hostile_task_says_nothing_to_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toml = TOML.replace("host", "x\\u001b]0;title\\u0007")
    make(tmp_path / "\x1b[2J\n::error::t", toml=toml)
    main(["tasks", "lint", str(tmp_path)])
    told = capsys.readouterr().out
    assert "\\x1b[2J\\n::error::t/task.toml: warning: x\\x1b]0;title\\x07 is not pinned" in told
    assert told.replace("\n", "").isprintable()


def test_a_place_in_the_file_is_told_as_compilers_do_and_a_task_that_cannot_be_had_only_that(tmp_path: Path) -> None:
    made = make(tmp_path / "a", toml=TOML + "[agent]\ntimeout = 3\n")
    make(tmp_path / "b", toml=TOML + "gpus = 1\n[[environment.mcp_servers]]\nname = 'x'\n", solve=None)
    first, second = lines_of(findings(task_files([tmp_path])))
    assert first.startswith(f"{made}/task.toml:5:1: warning: nobody reads 'agent.timeout'")
    assert second.endswith(
        "/b/task.toml: skipped: it takes 1 GPUs, and Fargate has none; it has MCP servers, which nobody starts here"
    )


def test_a_warning_of_many_tasks_is_told_once_and_each_error(tmp_path: Path) -> None:
    for name in "abcd":
        make(tmp_path / name, toml=TOML.replace("host", "debian:13"), solve=None)
    *errors, warning = lines_of(findings(task_files([tmp_path])))
    assert errors == [
        f"{tmp_path}/{name}/task.toml: error: solution/solve.sh is not there: the task has no solution"
        for name in "abcd"
    ]
    assert warning.startswith(f"4 times, first in {tmp_path}/a/task.toml: warning: debian:13 is not pinned: ")


def test_one_of_each_base_is_built_first_and_the_same_content_once(tmp_path: Path) -> None:
    for name, dockerfile in (("a", "FROM one\n"), ("b", "FROM one\nRUN b\n"), ("c", "FROM two\n"), ("d", "FROM one\n")):
        make(tmp_path / name, toml="[agent]\n", files={"environment/Dockerfile": dockerfile})
    rounds = in_rounds(contexts_of(task_files([tmp_path])))
    assert [[each.parent.name for each in contexts] for contexts in rounds] == [["a", "c"], ["b"]]

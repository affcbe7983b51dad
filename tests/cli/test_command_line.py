"""What the subcommands take stands on their page, and that of the engine on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.cli.main import command_line, main
from pytest_fargate_sandbox.leaves.names import VERSION
from pytest_fargate_sandbox.local.faults import COUNTED, TIMED
from tests.cli.command_line_page import DOCS, PAGE, flags_of, text

if TYPE_CHECKING:
    from pathlib import Path


def test_the_page_of_the_subcommands_is_made_of_them() -> None:
    """``python -m tests.cli.command_line_page`` writes it."""
    assert PAGE.read_text() == text()


def test_the_page_of_the_engine_has_all_that_it_takes_and_all_that_can_fail() -> None:
    page = (DOCS / "local-engine.md").read_text()
    assert [flag for flag in flags_of("engine") if f"| `{flag}" not in page] == []
    assert [fault for fault in (*COUNTED, *TIMED) if f"| `{fault}=" not in page] == []


@pytest.mark.parametrize(
    "words",
    [
        ["exec", "--timeout", "nan", "task", "true"],
        ["engine", "--port", "99999999"],
        ["prebuild", "--at-once", "0", "."],
        ["tasks", "lint", "--ttl", "-5", "."],
        ["sweep", "--definitions", "-1"],
        ["top", "--delay", "nan"],
    ],
)
def test_every_number_of_the_command_line_has_bounds(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    option = next(word for word in words if word.startswith("--"))
    assert option in (error := capsys.readouterr().err)
    assert ": expected " in error


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "fargate-sandbox: the following arguments are required: SUBCOMMAND (see fargate-sandbox --help)\n"),
        (["ps", "extra"], "fargate-sandbox: unrecognized arguments: extra (see fargate-sandbox --help)\n"),
        (["ps", ""], "fargate-sandbox: unrecognized arguments: '' (see fargate-sandbox --help)\n"),
    ],
)
def test_a_command_line_that_is_none_is_told_in_one_sentence(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err == told


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["stop", ""], "TASK"),
        (["exec", "", "true"], "TASK"),
        (["exec", "--cwd", "", "task", "true"], "-C/--cwd"),
        (["report", ""], "RUN"),
        (["top", ""], "RUN"),
        (["watch", "task", ""], "TERMINAL"),
        (["sweep", "--cluster", "bench", "--owner", ""], "--owner"),
        (["sidecar-image", "--cluster", ""], "--cluster"),
        (["prebuild", "--config", "", "."], "--config"),
        (["engine", "--state", ""], "--state"),
        (["tasks", "lint", ""], "DIR"),
    ],
)
def test_an_empty_value_is_taken_for_none(words: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert f": argument {what}: expected a value, and it is empty (see fargate-sandbox {words[0]}" in (
        capsys.readouterr().err
    )


def test_a_word_of_a_command_may_be_empty() -> None:
    asked = command_line(["exec"]).parse_args(["exec", "task", "printf", "%s", ""])
    assert asked.command == ["printf", "%s", ""]


def test_it_says_which_one_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"fargate-sandbox {VERSION}\n"


def test_where_there_is_nothing_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["stop", "--kept"]) == main(["report"]) == 0
    assert capsys.readouterr().out == "nothing to stop\nnothing is kept of any run here\n"
    assert main(["report", "-o", "page.html"]) == 1
    assert "of which run?" in capsys.readouterr().err


def test_who_would_record_and_has_no_terminal_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shell", "--record", "cast", "task"]) == 1
    assert "no terminal here that could be recorded" in capsys.readouterr().err

"""What the subcommands take stands on their page, and that of the engine on its own."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox.cli.main import main
from pytest_fargate_sandbox.local.faults import COUNTED, TIMED
from tests.cli.command_line_page import DOCS, PAGE, flags_of, text


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

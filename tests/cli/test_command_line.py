"""What the subcommands take stands on their page, and that of the engine on its own."""

from __future__ import annotations

from pytest_fargate_sandbox.local.faults import COUNTED, TIMED
from tests.cli.command_line_page import DOCS, PAGE, flags_of, text


def test_the_page_of_the_subcommands_is_made_of_them() -> None:
    """``python -m tests.cli.command_line_page`` writes it."""
    assert PAGE.read_text() == text()


def test_the_page_of_the_engine_has_all_that_it_takes_and_all_that_can_fail() -> None:
    page = (DOCS / "local-engine.md").read_text()
    assert [flag for flag in flags_of("engine") if f"| `{flag}" not in page] == []
    assert [fault for fault in (*COUNTED, *TIMED) if f"| `{fault}=" not in page] == []

"""docs/command-line.md, made of the subcommands. ``python -m tests.cli.command_line_page`` writes what they take."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.cli.main import SUBCOMMANDS, command_line

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "command-line.md"
_PLACE = "<!-- subcommands: made by `python -m tests.cli.command_line_page` -->\n"
_HAS_A_PAGE = {"engine": "What it takes, its faults and its limits have [their own page](local-engine.md#options)."}
_REMAINDERS = {argparse.REMAINDER: "…", "*": "…", "+": "…"}


def text() -> str:
    """The page as it should be."""
    return PAGE.read_text().partition(_PLACE)[0] + _PLACE + "".join(_sections(command_line(SUBCOMMANDS), ""))


def flags_of(name: str) -> list[str]:
    [choices] = _choices(command_line([name]))
    return [action.option_strings[-1] for action in _told(choices.choices[name]) if action.option_strings]


def _sections(parser: argparse.ArgumentParser, before: str) -> Iterator[str]:
    for choices in _choices(parser):
        summaries = {action.dest: action.help or "" for action in choices._choices_actions}
        for name, subparser in choices.choices.items():
            yield f"\n## {before}{name}\n\n{_sentence(summaries[name])}\n"
            if name in _HAS_A_PAGE:
                yield f"{_HAS_A_PAGE[name]}\n"
                continue
            if rows := [f"| {_usage(action)} | {_meaning(action)} |\n" for action in _told(subparser)]:
                yield "\n| | |\n| --- | --- |\n" + "".join(rows)
            yield from _sections(subparser, f"{before}{name} ")


def _choices(parser: argparse.ArgumentParser) -> list[argparse._SubParsersAction[argparse.ArgumentParser]]:
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]


def _told(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [a for a in parser._actions if not isinstance(a, argparse._SubParsersAction | argparse._HelpAction)]


def _usage(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{action.metavar or action.dest.upper()}{_REMAINDERS.get(action.nargs, '')}`"
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(f"`{flag}{value}`" for flag in action.option_strings)


def _meaning(action: argparse.Action) -> str:
    assert action.help, f"{action.dest} says nothing"
    return (action.help % vars(action)).replace("|", "\\|")


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


if __name__ == "__main__":
    PAGE.write_text(text())

"""``fargate-sandbox tasks lint``: what is wrong with benchmark tasks, before anything is launched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.number_within import number_within

if TYPE_CHECKING:
    import argparse

SUMMARY = "look at folders of benchmark tasks: `tasks lint DIR`"


def configure(parser: argparse.ArgumentParser) -> None:
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.type = str  # it has all words behind it as well
    lint = acts.add_parser("lint", help="say what is wrong with them, before anything is launched")
    lint.add_argument("paths", nargs="+", type=Path, metavar="DIR", help="a task's folder, or one of such folders")
    lint.add_argument(
        "--ttl",
        type=number_within(1.0, 1e9, "seconds"),
        metavar="SECONDS",
        help="how long your configuration lets a task live",
    )


def run(arguments: Any) -> int:
    from pytest_fargate_sandbox.leaves.printable import printable_line
    from pytest_fargate_sandbox.tasks.task_lint import findings, lines_of, task_files

    files = list(task_files(arguments.paths))
    found = list(findings(files, arguments.ttl))
    for line in lines_of(found):
        print(printable_line(line))  # what somebody else has written
    errors, skipped, warnings = (
        sum(each.level == level for each in found) for level in ("error", "skipped", "warning")
    )
    told = (_number(errors, "error"), f"{skipped} that cannot be had here", _number(warnings, "warning"))
    print(f"{_number(len(files), 'task')}: {', '.join(told)}")
    return 1 if errors else 0


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"

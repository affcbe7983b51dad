"""``fargate-sandbox ps``: what is alive."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.cli.known_tasks import KnownTask, known_tasks
from pytest_fargate_sandbox.leaves.printable import printable_line
from pytest_fargate_sandbox.leaves.times_in_words import span_in_column

if TYPE_CHECKING:
    import argparse

SUMMARY = "list the tasks of your runs that are alive"
_HEAD = ("TASK", "NAME", "STATE", "AGE", "ENDS IN", "CLUSTER", "IMAGE", "TESTS")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="ids only")


def run(arguments: Any) -> int:
    known = known_tasks()
    tasks = known.alive
    if arguments.quiet:
        print(*(printable_line(task.id) for task in tasks), sep="\n", end="\n" if tasks else "")
        return known.tell_of_silence()
    rows = [_HEAD, *(_row(task) for task in tasks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    for row in rows:
        told = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        print(printable_line(told))
    return known.tell_of_silence()


def _row(task: KnownTask) -> tuple[str, ...]:
    facts = task.entry.facts
    began = task.entry.lives[-1][0] if task.entry.lives else time.time()
    left = began + float(facts.get("ttl", 0)) - time.time()
    return (
        task.id[:12],
        task.name,
        _state(task),
        span_in_column(time.time() - facts.get("born", began)),
        span_in_column(left),
        str(facts.get("cluster", "")),
        str(facts.get("image") or ""),
        ", ".join(task.tests),
    )


def _state(task: KnownTask) -> str:
    if task.entry.is_left:
        return f"LEFT {task.entry.facts['reuse']}"
    return "KEPT" if task.kept else task.status

"""``fargate-sandbox stop``: end tasks, and with a kept one its keys."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.cli.known_tasks import KnownTask, find_task, known_tasks
from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.printable import printable_line
from pytest_fargate_sandbox.records.stop_by_hand import stop_by_hand

if TYPE_CHECKING:
    import argparse

SUMMARY = "stop tasks of your runs, kept ones too"


def configure(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "tasks",
        metavar="TASK",
        nargs="*",
        default=[],
        help="ids, names or tests, or how they begin; or a name of --fargate-reuse, for all that was left as that",
    )
    which.add_argument("--kept", action="store_true", help="all kept ones")
    which.add_argument("--all", action="store_true", help="all that are alive, also those that a run is using")


def run(arguments: Any) -> int:
    if arguments.tasks:
        return _worst([_stop_named(each) for each in arguments.tasks])
    known = known_tasks()
    stopped = [stop_known(task) for task in known.alive if arguments.all or (task.kept and not task.entry.is_left)]
    silent = known.tell_of_silence()
    if not (stopped or silent):
        print("nothing to stop")
    return max(silent, _worst(stopped))


def _worst(stopped: list[bool]) -> int:
    return 0 if all(stopped) else 1


def _stop_named(wanted: str) -> bool:
    left = [stop_known(task) for task in known_tasks(wanted).alive if task.is_left_as(wanted)]
    if left:
        return all(left)
    try:
        return stop_known(find_task(wanted))
    except SandboxError as error:
        print(f"fargate-sandbox: {error}", file=sys.stderr)
        return False


def stop_known(task: KnownTask) -> bool:
    """Stop it, and print what came of that."""
    cluster = str(task.entry.facts["cluster"])
    if not stop_by_hand(task.ledger, task.arn, task.aws, cluster, "stopped by fargate-sandbox stop"):
        print(f"{printable_line(task.id)} could not be stopped", file=sys.stderr)
        return False
    print(f"{printable_line(task.id)} stopped")
    return True

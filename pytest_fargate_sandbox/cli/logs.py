"""``fargate-sandbox logs``: the end of what a task's containers wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.cli.known_tasks import find_task, take_task
from pytest_fargate_sandbox.leaves.printable import printable
from pytest_fargate_sandbox.sandbox.task.diagnosis import container_logs, is_logged
from pytest_fargate_sandbox.sandbox.task.registration import definition_of

if TYPE_CHECKING:
    import argparse

SUMMARY = "show the end of what a task's containers wrote"


def configure(parser: argparse.ArgumentParser) -> None:
    take_task(parser)


def run(arguments: Any) -> int:
    task = find_task(arguments.task)
    definition = definition_of(task.aws, task.description)
    text = container_logs(task.description, aws=task.aws, registration=definition)
    nothing = "nothing was written yet" if is_logged(definition) else "its output goes nowhere: set `log_group`"
    print(printable(text) or nothing)
    return 0

"""``fargate-sandbox watch``: follow a terminal that a test has open, and touch nothing."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.cli.known_tasks import find_task, take_task
from pytest_fargate_sandbox.cli.tame_output import TameOutput
from pytest_fargate_sandbox.sandbox.side_door import shown, visit

if TYPE_CHECKING:
    import argparse

SUMMARY = "follow a terminal that a running test has open"


def configure(parser: argparse.ArgumentParser) -> None:
    take_task(parser)
    parser.add_argument("terminal", nargs="?", metavar="TERMINAL", help="its name, or the last one")


def run(arguments: Any) -> int:
    task = find_task(arguments.task)
    output = TameOutput()
    try:
        for line in shown(visit(task.arn, terminal=arguments.terminal or "")):
            event = json.loads(line)
            if isinstance(event, list) and event[1] == "o":
                _show(output.tamed(event[2]))
    finally:
        if os.isatty(1):
            _show(output.end())
    return 0


def _show(text: str) -> None:
    raw = text.encode("utf-8", "surrogateescape")
    while raw:
        raw = raw[os.write(1, raw) :]

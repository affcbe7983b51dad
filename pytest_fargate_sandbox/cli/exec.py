"""``fargate-sandbox exec``: run a command in a kept task, from any terminal."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.cli.known_tasks import find_task, take_task
from pytest_fargate_sandbox.leaves.errors import SandboxError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox
    from pytest_fargate_sandbox.sandbox.exec.exec_frames import OutputChunk

SUMMARY = "run a command in a kept task"
_DAY_SEC = 86400.0


def configure(parser: argparse.ArgumentParser) -> None:
    take_task(parser)
    parser.add_argument("-C", "--cwd", help="the directory to run it in")
    parser.add_argument("-u", "--user", help="the user to run it as")
    parser.add_argument("--timeout", type=float, default=_DAY_SEC, metavar="SECONDS", help="kill it after so long")
    parser.add_argument(
        "command", nargs="+", metavar="COMMAND", help="one word is for the shell; several are run as they are"
    )


def run(arguments: Any) -> int:
    words = arguments.command
    command = words[0] if len(words) == 1 else shlex.join(words)
    with entered(arguments.task) as sandbox:
        result = sandbox.exec(
            command,
            arguments.timeout,
            cwd=arguments.cwd,
            user=arguments.user,
            stdin=None if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer.read(),
            on_output=_copy,
        )
    return result.return_code


@contextlib.contextmanager
def entered(wanted: str) -> Iterator[EcsFargateSandbox]:
    """The sandbox of a kept task; leaving the block leaves it alone."""
    from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox

    task = find_task(wanted)
    if task.kept is None:
        raise SandboxError(
            f"{task.id} is not kept, so its keys are only in the process that made it; "
            "--fargate-keep and the marker's `keep` say which tasks are kept"
        )
    sandbox = EcsFargateSandbox.attach(task.kept)
    try:
        yield sandbox
    finally:
        sandbox.detach()


def _copy(chunk: OutputChunk) -> None:
    os.write(1 if chunk.stream == "stdout" else 2, chunk)

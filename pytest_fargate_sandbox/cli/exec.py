"""``fargate-sandbox exec``: run a command in a kept task, or in that of a test that runs, from any terminal."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.cli.held_elsewhere import HeldElsewhere
from pytest_fargate_sandbox.cli.known_tasks import find_task, take_task
from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.number_within import number_within

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.cli.known_tasks import KnownTask
    from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox
    from pytest_fargate_sandbox.sandbox.exec.exec_frames import OutputChunk

SUMMARY = "run a command in a kept task, or in that of a test that runs"
_DAY_SEC = 86400.0


def configure(parser: argparse.ArgumentParser) -> None:
    take_task(parser)
    parser.add_argument("-C", "--cwd", help="the directory to run it in")
    parser.add_argument("-u", "--user", help="the user to run it as")
    parser.add_argument(
        "--timeout",
        type=number_within(0.0, 365 * _DAY_SEC, "seconds"),
        default=_DAY_SEC,
        metavar="SECONDS",
        help="kill it after so long",
    )
    parser.add_argument("-t", "--tty", action="store_true", help="give it this terminal; -i may stand beside it")
    parser.add_argument(
        "-i", "--interactive", action="store_true", help="stdin goes along in any case: for who is used to `-it`"
    )
    parser.add_argument(
        "command",
        nargs=argparse.REMAINDER,
        type=str,
        metavar="COMMAND",
        help="one word is for the shell; several are run as they are, with all options that stand behind the first",
    )


def run(arguments: Any) -> int:
    words = arguments.command[arguments.command[:1] == ["--"] :]
    if not words:
        raise SandboxError("which command? `fargate-sandbox exec TASK COMMAND`, or `fargate-sandbox shell TASK`")
    command = words[0] if len(words) == 1 else shlex.join(words)
    with entered(arguments.task) as sandbox:
        if arguments.tty:
            return on_own_terminal(sandbox, command, cwd=arguments.cwd, user=arguments.user)
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
def entered(wanted: str) -> Iterator[EcsFargateSandbox | HeldElsewhere]:
    """The sandbox of a kept task, or of a test that runs; leaving the block leaves it alone."""
    from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox

    task = find_task(wanted)
    if task.kept is None:
        with HeldElsewhere(task.arn) as held:
            yield held
        return
    if task.entry.is_left:
        _keep_for_whom_enters(task)
    sandbox = EcsFargateSandbox.attach(task.kept)
    try:
        yield sandbox
    finally:
        sandbox.detach()


def _keep_for_whom_enters(task: KnownTask) -> None:
    """No run has it from now on: nobody could tell what was done in it."""
    from pytest_fargate_sandbox.records.reuse_book import ReuseBook

    name = str(task.entry.facts["reuse"])
    ReuseBook(name, "").drop(task.arn)
    task.ledger.write(task.entry.id, "kept", reuse=None)
    print(
        f"fargate-sandbox: {task.id} is left to no run of {name} any more: `fargate-sandbox stop {task.id}` ends it",
        file=sys.stderr,
    )


def on_own_terminal(
    sandbox: EcsFargateSandbox | HeldElsewhere,
    command: str,
    *,
    cwd: str | None = None,
    user: str | None = None,
    record: Path | None = None,
) -> int:
    """Run a command on the terminal that a person sits at; its exit code."""
    from pytest_fargate_sandbox.cli.own_terminal import OwnTerminal, is_at_terminal, own_size, recording_to

    if not is_at_terminal():
        raise SandboxError("there is no terminal here: stdin and stdout must be one")
    recording = recording_to(record) if record else None
    env = {"TERM": os.environ.get("TERM", "xterm-256color")}
    process = sandbox.spawn_on_terminal(command, own_size(), cwd=cwd, env=env, user=user)
    return OwnTerminal(process, recording).join()


def _copy(chunk: OutputChunk) -> None:
    os.write(1 if chunk.stream == "stdout" else 2, chunk)

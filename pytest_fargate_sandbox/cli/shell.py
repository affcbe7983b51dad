"""``fargate-sandbox shell``: on the terminal that there is, or line by line without one."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.cli.exec import entered, on_own_terminal
from pytest_fargate_sandbox.cli.known_tasks import take_task
from pytest_fargate_sandbox.cli.own_terminal import is_at_terminal
from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.terminals.open_terminals import BEST_SHELL

if TYPE_CHECKING:
    import argparse

    from pytest_fargate_sandbox.sandbox.exec.process import Process

SUMMARY = "open a shell in a kept task, or in that of a test that runs"
_ONE_READ_SEC = 5.0
_ONE_LINE = 65536
_NO_TERMINAL = b"can't access tty"
"""What a shell says that is told to prompt and finds no terminal: true, and no news."""


def configure(parser: argparse.ArgumentParser) -> None:
    take_task(parser)
    parser.add_argument("-u", "--user", help="the user to run it as")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write an asciicast of it there")


def run(arguments: Any) -> int:
    if arguments.record and not is_at_terminal():
        raise SandboxError("--record: there is no terminal here that could be recorded")
    with entered(arguments.task) as sandbox:
        if is_at_terminal():
            return on_own_terminal(sandbox, BEST_SHELL, user=arguments.user, record=arguments.record)
        # No terminal goes with it, so the shell is told to prompt, and its two streams are one, in order.
        prompt = 'PS1="$(hostname 2>/dev/null || echo sandbox)$ "'
        shell = sandbox.spawn(f"{prompt} exec sh -i 2>&1", user=arguments.user)
        try:
            threading.Thread(target=_feed, args=(shell,), daemon=True).start()
            while (code := shell.poll()) is None:
                _show(shell.read(timeout=_ONE_READ_SEC))
            _show(shell.read())
        except BaseException:  # Ctrl-C, a terminal that was closed: it and all that it runs would live on there
            with contextlib.suppress(SandboxError):
                shell.kill()
            raise
        return code


def _show(output: bytes) -> None:
    for line in output.splitlines(keepends=True):
        if _NO_TERMINAL not in line:
            os.write(1, line)


def _feed(shell: Process) -> None:
    with contextlib.suppress(SandboxError):  # the shell has ended
        # Not by sys.stdin: its lock, held by a thread that reads for ever, is fatal to Python's own end.
        while sys.stdin is not None and (typed := os.read(0, _ONE_LINE)):
            shell.write(typed)
        shell.write(b"", end=True)

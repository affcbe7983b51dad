"""``fargate-sandbox shell``: a shell in a kept task, from any terminal, line by line."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.cli.exec import entered
from pytest_fargate_sandbox.cli.tasks import take_task, told_plainly

if TYPE_CHECKING:
    import argparse

SUMMARY = "open a shell in a kept task"


def configure(parser: argparse.ArgumentParser) -> None:
    take_task(parser)
    parser.add_argument("-u", "--user", help="the user to run it as")


def run(arguments: Any) -> int:
    return told_plainly(lambda: _run(arguments))


def _run(arguments: Any) -> int:
    with entered(arguments.task) as sandbox:
        # No terminal goes with it, so the shell is told to prompt, and its two streams are one, in order.
        shell = sandbox.spawn('PS1="$(hostname 2>/dev/null || echo sandbox)$ " exec sh -i 2>&1', user=arguments.user)
        threading.Thread(target=_feed, args=(shell,), daemon=True).start()
        while chunk := shell.read():
            os.write(1, chunk)
        return int(shell.wait())


def _feed(shell: Any) -> None:
    while line := sys.stdin.buffer.readline():
        shell.write(line)
    shell.close_stdin()

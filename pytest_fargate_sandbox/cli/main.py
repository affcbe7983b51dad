"""``fargate-sandbox``: one subcommand a module, imported when it is asked for.

A subcommand's module has ``SUMMARY``, ``configure(parser)`` and ``run(arguments) -> exit code``; of what goes wrong in
there, one of our errors is told in its sentence.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.names import VERSION
from pytest_fargate_sandbox.leaves.terse_parser import TerseParser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence
    from types import FrameType
    from typing import NoReturn

SUBCOMMANDS = (
    *("engine", "ps", "top", "exec", "shell", "watch", "logs", "stop", "sweep"),
    *("sidecar-image", "prebuild", "tasks", "report"),
)


def main(argv: Sequence[str] | None = None) -> int:
    with _signals_end_it():
        try:
            return _run(list(sys.argv[1:] if argv is None else argv))
        except SandboxError as error:
            print(f"fargate-sandbox: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 128 + signal.SIGINT
        except BrokenPipeError:  # whoever read what we print has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes what is left, at the very end
            return 128 + signal.SIGPIPE


def _run(words: list[str]) -> int:
    # Only the subcommand asked for is imported in full; the list of all of them needs every module's summary.
    asked = words[0] if words and words[0] in SUBCOMMANDS else None
    parser = command_line(SUBCOMMANDS if asked is None else (asked,))
    arguments, others = parser.parse_known_args(words)
    if others:
        parser.error(f"unrecognized arguments: {shlex.join(others)}")
    return int(arguments.run(arguments))


def command_line(names: Iterable[str]) -> argparse.ArgumentParser:
    """What takes these subcommands."""
    parser = TerseParser(prog="fargate-sandbox", description="Sandboxes on AWS Fargate, and without AWS.")
    parser.add_argument("--version", action="version", version=f"fargate-sandbox {VERSION}")
    choices = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    choices.type = str  # it has all words behind it as well
    for name in names:
        module = import_module(f"pytest_fargate_sandbox.cli.{name.replace('-', '_')}")
        subparser = choices.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.configure(subparser)
        subparser.set_defaults(run=module.run)
    return parser


@contextlib.contextmanager
def _signals_end_it() -> Iterator[None]:
    """They go up through the subcommand as Ctrl-C does, so that what it has begun in a sandbox ends with it."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in map(int, (signal.SIGTERM, signal.SIGHUP)):
            if signal.getsignal(number) is signal.SIG_DFL:  # under nohup it is ignored, and stays so
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())

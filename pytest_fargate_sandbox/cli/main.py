"""``fargate-sandbox``: one subcommand a module, imported when it is asked for.

A subcommand's module has ``SUMMARY``, ``configure(parser)`` and ``run(arguments) -> exit code``; of what goes wrong in
there, one of our errors is told in its sentence.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUBCOMMANDS = ("engine", "ps", "exec", "shell", "logs", "stop", "sweep", "sidecar-image")


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="fargate-sandbox", description="Sandboxes on AWS Fargate, and without AWS.")
    choices = parser.add_subparsers(dest="subcommand", required=True, metavar="SUBCOMMAND")
    # Only the subcommand asked for is imported in full; the list of all of them needs every module's summary.
    asked = words[0] if words and words[0] in _SUBCOMMANDS else None
    for name in _SUBCOMMANDS if asked is None else (asked,):
        module = import_module(f"pytest_fargate_sandbox.cli.{name.replace('-', '_')}")
        subparser = choices.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.configure(subparser)
        subparser.set_defaults(run=module.run)
    arguments = parser.parse_args(words)
    try:
        return int(arguments.run(arguments))
    except SandboxError as error:
        print(f"fargate-sandbox: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

"""``python -m pytest_fargate_sandbox.local``: the embedded Fargate as a program."""

from __future__ import annotations

import sys

from pytest_fargate_sandbox.leaves.terse_parser import TerseParser
from pytest_fargate_sandbox.local.engine_options import add_options, options_from
from pytest_fargate_sandbox.local.engine_program import run


def main() -> int:
    parser = TerseParser(
        prog="python -m pytest_fargate_sandbox.local",
        description="An embedded AWS Fargate on loopback, for any AWS client.",
    )
    add_options(parser)
    return run(options_from(parser, parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())

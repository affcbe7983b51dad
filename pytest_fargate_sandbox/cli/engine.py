"""``fargate-sandbox engine``: the embedded Fargate, by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.engine_options import add_options, options_from

if TYPE_CHECKING:
    import argparse

SUMMARY = "run the embedded Fargate on loopback and print the variables that lead an AWS client to it"


def configure(parser: argparse.ArgumentParser) -> None:
    add_options(parser)
    parser.set_defaults(parser=parser)


def run(arguments: Any) -> int:
    from pytest_fargate_sandbox.local.engine_program import run as run_engine

    return run_engine(options_from(arguments.parser, arguments), stays=True)

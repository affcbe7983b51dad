"""The page about the engine names every option and every fault."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_fargate_sandbox.local.engine_options import add_options
from pytest_fargate_sandbox.local.faults import COUNTED, TIMED

_PAGE = Path(__file__).parents[2] / "docs" / "local-engine.md"


def test_every_option_is_documented() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_options(parser)
    page = _PAGE.read_text()
    options = [option for action in parser._actions for option in action.option_strings]
    assert [option for option in options if f"| `{option} " not in page and f"| `{option}`" not in page] == []


def test_every_fault_is_documented() -> None:
    page = _PAGE.read_text()
    assert [fault for fault in {**COUNTED, **TIMED} if f"| `{fault}=" not in page] == []

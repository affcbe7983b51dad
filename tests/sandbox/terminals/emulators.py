"""The two emulators, for whoever wants one: to load both takes a tenth of what it takes to collect all tests."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fargate_sandbox.sandbox.terminals.ghostty_screen import GhosttyScreen
    from pytest_fargate_sandbox.sandbox.terminals.pyte_screen import PyteScreen


@cache
def ghostty() -> type[GhosttyScreen]:
    from pytest_fargate_sandbox.sandbox.terminals.ghostty_screen import GhosttyScreen

    return GhosttyScreen


@cache
def pyte() -> type[PyteScreen]:
    from pytest_fargate_sandbox.sandbox.terminals.pyte_screen import PyteScreen

    return PyteScreen

"""What a terminal's bytes look like. No emulator of our own: two are known, and the better one of those is used."""

from __future__ import annotations

import logging
from typing import Protocol

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.server.terminal_protocol import LARGEST_SCREEN

SCROLLBACK_LINES = 50_000

_logger = logging.getLogger(__name__)


class Screen(Protocol):
    """Columns and rows of characters, and the lines that have left them at the top."""

    def feed(self, data: bytes) -> bytes:
        """Draw this; what the terminal has to answer to it, for programs ask their terminal questions."""

    def text(self) -> str:
        """What is to be seen: lines as they are shown, without the blanks at their ends and the empty ones below."""

    def contents(self) -> str:
        """The same, with what has left it at the top."""

    def styled(self) -> str:
        """What is to be seen, with colours and the like as escape sequences."""

    def resize(self, columns: int, rows: int) -> None:
        """Another size, as when a person draws at the corner of a window."""

    def close(self) -> None:
        """Give back what it takes."""

    @property
    def cursor(self) -> tuple[int, int]:
        """Column and row, from 0."""

    @property
    def takes_pasted_text(self) -> bool:
        """The program wants what is pasted in brackets, so that it isn't taken for typed (DECSET 2004)."""

    @property
    def has_application_keys(self) -> bool:
        """The program wants the arrow keys' other codes (DECCKM)."""


def check_size(width: int, height: int) -> None:
    if not all(type(side) is int and 1 <= side <= LARGEST_SCREEN for side in (width, height)):
        raise ValueError(f"a terminal has 1 to {LARGEST_SCREEN} columns and rows, not {width!r} x {height!r}")


def new_screen(columns: int, rows: int) -> Screen:
    """Ghostty's where there is a wheel of it, else pyte's."""
    try:
        from pytest_fargate_sandbox.sandbox.terminals.ghostty_screen import GhosttyScreen
    except ImportError:
        return _fallback(columns, rows)
    return GhosttyScreen(columns, rows)


def _fallback(columns: int, rows: int) -> Screen:
    try:
        from pytest_fargate_sandbox.sandbox.terminals.pyte_screen import PyteScreen
    except ImportError:
        hint = "no emulator is installed that could render a terminal: pip install 'pytest-fargate-sandbox[terminal]'"
        raise ConfigError(hint, key="terminal") from None
    _logger.warning("pyghostty is not installed: terminals are rendered by pyte, slowly and with no alternate screen")
    return PyteScreen(columns, rows)

"""What a terminal's bytes look like: what an emulator has to answer."""

from __future__ import annotations

from typing import Protocol

from pytest_fargate_sandbox.server.terminal_protocol import LARGEST_SCREEN

SCROLLBACK_LINES = 50_000


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

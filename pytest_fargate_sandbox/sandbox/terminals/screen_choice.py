"""Which emulator renders a terminal. None is our own: two are known, and the better one of those is used."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import ConfigError

if TYPE_CHECKING:
    from pytest_fargate_sandbox.sandbox.terminals.screen import Screen

_logger = logging.getLogger(__name__)


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

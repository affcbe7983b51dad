"""How large a terminal is, whatever has become of it, and whether it can do more than print."""

from __future__ import annotations

import contextlib
import os
from typing import IO


def terminal_size(terminal: IO[str] | int) -> tuple[int, int]:
    """Columns and rows, as they are now; one that tells none, or has gone, is as the first ones were."""
    columns = rows = 0
    with contextlib.suppress(OSError, ValueError):
        columns, rows = os.get_terminal_size(terminal if isinstance(terminal, int) else terminal.fileno())
    return columns or 80, rows or 24


def only_prints() -> bool:
    """Whether it moves no cursor, and shows what would move it as signs: that of an editor's or a build's window."""
    return os.environ.get("TERM") == "dumb"

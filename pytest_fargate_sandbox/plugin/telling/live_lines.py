"""Lines beneath whatever pytest writes.

pytest's own line may be half written when ours are drawn, so ours go to the lines below and the cursor goes back; and
since pytest would write over them, they are erased before each word of pytest's.
"""

from __future__ import annotations

import threading
from typing import IO, TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.terminal_size import terminal_size

if TYPE_CHECKING:
    from collections.abc import Sequence

_ERASE_BELOW = "\x1b[J"


class LiveLines:
    """Stands between pytest's terminal writer and its file, and draws on ``screen``, which is the same terminal."""

    def __init__(self, writer: Any, screen: IO[str]) -> None:
        self._writer = writer
        self._file = writer._file
        self._screen = screen
        self._lock = threading.RLock()
        self._shown: Sequence[str] = ()
        writer._file = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        with self._lock:
            self._erase()
            return int(self._file.write(text))

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows, as they are now. pytest has 80 columns for what is narrower than 40."""
        return terminal_size(self._screen)

    def show(self, lines: Sequence[str]) -> None:
        """Each is to be shorter than the terminal is wide."""
        with self._lock:
            if list(lines) == list(self._shown) or self._writer._file is not self:
                return
            self._erase()
            behind, column = divmod(self._writer.width_of_current_line, self.size[0])
            # Where pytest's line ends at the very edge, the cursor hangs there, and nothing could bring it back.
            if lines and (column or not behind):
                # Down to new lines, at the screen's end by scrolling; then up again, to where pytest was.
                below = "".join(f"\n\r{line}" for line in lines)
                self._draw(f"{below}\x1b[{len(lines)}A\x1b[{column + 1}G")
                self._shown = list(lines)

    def close(self) -> None:
        with self._lock:
            self._erase()
            if self._writer._file is self:
                self._writer._file = self._file
                self._screen.close()

    def _erase(self) -> None:
        if self._shown:
            self._draw(_ERASE_BELOW)
            self._shown = ()

    def _draw(self, text: str) -> None:
        self._screen.write(text)
        self._screen.flush()

"""The whole of the terminal that a person sits at: lines on it, and the keys that come from it."""

from __future__ import annotations

import contextlib
import os
import re
import select
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.cli.own_terminal import own_size
from pytest_fargate_sandbox.leaves.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Self

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""The terminal's other screen, without a cursor; and what was there before."""
_LOOKS_SEC = 0.25
"""How late a new size of the terminal is seen."""
_KEY = re.compile(r"\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Z]|[^\x1b]|\x1b")
_NAMES = {"A": "up", "B": "down", "5~": "page up", "6~": "page down", "H": "home", "F": "end"}


class FullScreen:
    """As long as it is entered. ``size`` is columns and rows."""

    def __init__(self) -> None:
        self._shown: list[str] = []
        self._before: list[Any] = []
        self.size = own_size()

    def show(self, lines: Sequence[str], *, chosen: int = -1) -> None:
        """A line for each row; the chosen one stands out. Only what has changed is drawn."""
        columns = self.size[0] - 1
        drawn = [one_line(line, columns) for line in lines]
        for row in (0, chosen):
            if 0 <= row < len(drawn):
                drawn[row] = f"\x1b[{'1' if row == 0 else '7'}m{drawn[row]}\x1b[0m"
        new = [
            f"\x1b[{row + 1};1H{line}\x1b[K" for row, line in enumerate(drawn) if self._shown[row : row + 1] != [line]
        ]
        self._shown = drawn
        _write("".join(new))

    def keys(self, seconds: float) -> Iterator[str]:
        """Those that are typed in so many seconds; it is over with the first, and with another size of the terminal."""
        while seconds >= 0:
            ready, _, _ = select.select([0], [], [], min(seconds, _LOOKS_SEC))
            if own_size() != self.size:
                self.size, self._shown = own_size(), []
                _write("\x1b[2J")
                return
            if ready:
                typed = os.read(0, 1024).decode("utf-8", "replace")
                yield from (_named(key) for key in _KEY.findall(typed)) if typed else ["q"]  # the terminal has gone
                return
            seconds -= _LOOKS_SEC

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """The terminal is as it was before, for somebody else."""
        self._leave()
        try:
            yield
        finally:
            self.__enter__()

    def __enter__(self) -> Self:
        import termios
        import tty

        self._before = termios.tcgetattr(0)
        tty.setcbreak(0)
        mode = termios.tcgetattr(0)
        mode[6][termios.VSUSP] = b"\0"  # who stops us with Ctrl-Z would be left on this screen
        termios.tcsetattr(0, termios.TCSADRAIN, mode)
        self._shown, self.size = [], own_size()
        _write(_ENTER + "\x1b[2J")
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        import termios

        with contextlib.suppress(OSError):
            _write(_LEAVE)
        with contextlib.suppress(termios.error):  # it has gone
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)


def _named(key: str) -> str:
    return _NAMES.get(key.removeprefix("\x1b[").removeprefix("\x1bO"), key) if key[:1] == "\x1b" else key


def _write(text: str) -> None:
    left = memoryview(text.encode("utf-8", "replace"))
    while left:
        left = left[os.write(1, left) :]

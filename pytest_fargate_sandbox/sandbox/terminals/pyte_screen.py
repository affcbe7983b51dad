"""A screen by pyte, where there is no wheel of the better one: half a megabyte a second, and no alternate screen."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any

import pyte

from pytest_fargate_sandbox.sandbox.terminals.screen import SCROLLBACK_LINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BACKLOG = 1024 * 1024
"""Of a flood only the end is drawn: to draw all of it would take minutes. What scrolled away before is not kept."""

_AT_ONCE = 4096

_BRACKETED_PASTE = 2004 << 5
_APPLICATION_KEYS = 1 << 5


class _AnsweringScreen(pyte.HistoryScreen):
    """Keeps what pyte would write to the program."""

    def __init__(self, columns: int, rows: int) -> None:
        self.answers = ""
        super().__init__(columns, rows, history=SCROLLBACK_LINES, ratio=0.5)

    def write_process_input(self, data: str) -> None:
        self.answers += data


class _ForgivingStream(pyte.Stream):
    """What pyte trips over (a private sign where it expects none, half of a wide character) ends there, and no more."""

    def _send_to_parser(self, data: str) -> bool | None:
        try:
            return super()._send_to_parser(data)
        except Exception:
            return True  # It has a new parser, which is at plain text.


class PyteScreen:
    """See ``Screen``."""

    def __init__(self, columns: int, rows: int) -> None:
        self._screen = _AnsweringScreen(columns, rows)
        self._stream = _ForgivingStream(self._screen)
        self._stream.use_utf8 = False  # or it would not draw the lines of DEC's character set
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._backlog = bytearray()

    def feed(self, data: bytes) -> bytes:
        self._backlog += data
        if len(self._backlog) <= _AT_ONCE or (len(data) <= _AT_ONCE and b"\x1b" in data):  # it may be a question
            self._draw()
        elif len(self._backlog) > 2 * _BACKLOG:
            begin = len(self._backlog) - _BACKLOG
            del self._backlog[: max(begin, self._backlog.find(b"\n", begin) + 1)]
        answer, self._screen.answers = self._screen.answers, ""
        return answer.encode()

    def text(self) -> str:
        self._draw()
        return "\n".join(self._lines(self._screen.buffer[row] for row in range(self._screen.lines))).rstrip("\n")

    def contents(self) -> str:
        self._draw()
        gone = self._lines(self._screen.history.top)
        return "\n".join([*gone, self.text()])

    def styled(self) -> str:
        return self.text()

    def resize(self, columns: int, rows: int) -> None:
        self._draw()
        self._screen.resize(rows, columns)

    def close(self) -> None:
        self._screen.reset()

    @property
    def cursor(self) -> tuple[int, int]:
        self._draw()
        return min(self._screen.cursor.x, self._screen.columns - 1), self._screen.cursor.y

    @property
    def takes_pasted_text(self) -> bool:
        self._draw()
        return _BRACKETED_PASTE in self._screen.mode

    @property
    def has_application_keys(self) -> bool:
        self._draw()
        return _APPLICATION_KEYS in self._screen.mode

    def _draw(self) -> None:
        data, self._backlog = bytes(self._backlog), bytearray()
        self._stream.feed(self._decoder.decode(data))

    def _lines(self, lines: Iterable[Mapping[int, Any]]) -> list[str]:
        """Not pyte's ``display``, which trips over half of a wide character."""
        columns = range(self._screen.columns)
        return ["".join(line[column].data for column in columns).rstrip() for line in lines]

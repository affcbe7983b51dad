"""A screen by pyte, where there is no wheel of the better one: half a megabyte a second, and no alternate screen."""

from __future__ import annotations

import codecs

import pyte

from pytest_fargate_sandbox.sandbox.terminals.screen import SCROLLBACK_LINES

_BACKLOG = 1024 * 1024
"""Of a flood only the end is drawn: to draw all of it would take minutes. What scrolled away before is not kept."""

_BRACKETED_PASTE = 2004 << 5
_APPLICATION_KEYS = 1 << 5


class _AnsweringScreen(pyte.HistoryScreen):
    """Keeps what pyte would write to the program."""

    def __init__(self, columns: int, rows: int) -> None:
        self.answers = ""
        super().__init__(columns, rows, history=SCROLLBACK_LINES, ratio=0.5)

    def write_process_input(self, data: str) -> None:
        self.answers += data


class PyteScreen:
    """See ``Screen``."""

    def __init__(self, columns: int, rows: int) -> None:
        self._screen = _AnsweringScreen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._backlog = bytearray()

    def feed(self, data: bytes) -> bytes:
        self._backlog += data
        if len(self._backlog) <= 4096:
            self._draw()
        elif len(self._backlog) > 2 * _BACKLOG:
            del self._backlog[: self._backlog.index(b"\n", len(self._backlog) - _BACKLOG) + 1]
        answer, self._screen.answers = self._screen.answers, ""
        return answer.encode()

    def text(self) -> str:
        self._draw()
        return _joined(self._screen.display)

    def contents(self) -> str:
        self._draw()
        columns = range(self._screen.columns)
        gone = ["".join(line[column].data for column in columns) for line in self._screen.history.top]
        return _joined([*gone, *self._screen.display])

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
        return self._screen.cursor.x, self._screen.cursor.y

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


def _joined(lines: list[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).rstrip("\n")

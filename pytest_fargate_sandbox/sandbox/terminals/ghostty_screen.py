"""A screen by Ghostty's core (PyPI's ``pyghostty``)."""

from __future__ import annotations

import re

import pyghostty
from pyghostty._ffi import check, ffi, lib  # what its Python does not offer yet: styled text, room for the scrollback
from pyghostty.core import init_sized, read_buf

from pytest_fargate_sandbox.sandbox.terminals.screen import SCROLLBACK_LINES

_CELL_BYTES = 9
_ROW_BYTES = 128
"""What Ghostty takes for its rows, and a little more: it drops the oldest quickly by bytes, and slowly by lines."""

_COLOURS_OF_ALL = re.compile(r"\x1b\](?:4|10|11|12);[^\x1b\x07]*(?:\x1b\\|\x07)")
_ANY_NUMBER = 1 << 40
_DELETE = b"\x7f"
"""No terminal shows it. Ghostty does."""

_BRACKETED_PASTE = 2004
_APPLICATION_KEYS = 1


class GhosttyScreen:
    """See ``Screen``."""

    def __init__(self, columns: int, rows: int) -> None:
        self._terminal = pyghostty.Terminal(columns, rows, scrollback=_ANY_NUMBER)
        self._make_room(columns)
        self._answers: list[bytes] = []
        self._terminal.on_reply(self._answers.append)

    def feed(self, data: bytes) -> bytes:
        self._terminal.feed(data.replace(_DELETE, b""))
        answer = b"".join(self._answers)
        self._answers.clear()
        return answer

    def text(self) -> str:
        return str(self._terminal.text())

    def contents(self) -> str:
        return self._formatted(lib.GHOSTTY_FORMATTER_FORMAT_PLAIN, "screen")

    def styled(self) -> str:
        return _COLOURS_OF_ALL.sub("", self._formatted(lib.GHOSTTY_FORMATTER_FORMAT_VT, "active"))

    def resize(self, columns: int, rows: int) -> None:
        self._make_room(max(columns, self._terminal.size[0]))
        self._terminal.resize(columns, rows)
        self._make_room(columns)

    def close(self) -> None:
        self._terminal.close()

    @property
    def cursor(self) -> tuple[int, int]:
        column, row = self._terminal.cursor
        return column, row

    @property
    def takes_pasted_text(self) -> bool:
        return bool(self._terminal.mode(_BRACKETED_PASTE))

    @property
    def has_application_keys(self) -> bool:
        return bool(self._terminal.mode(_APPLICATION_KEYS))

    def _make_room(self, columns: int) -> None:
        room = ffi.new("size_t*", SCROLLBACK_LINES * (_CELL_BYTES * columns + _ROW_BYTES))
        native = self._terminal._t[0]
        check(lib.ghostty_terminal_set(native, lib.GHOSTTY_TERMINAL_OPT_SCROLLBACK_MAX_BYTES, room), "scrollback")

    def _formatted(self, form: int, area: str) -> str:
        columns, rows = self._terminal.size
        last_row = rows - 1 if area == "active" else self._terminal.get("total_rows", "size_t") - 1
        selection = init_sized("GhosttySelection")
        selection.start = self._terminal.ref(0, max(0, last_row - rows + 1 - SCROLLBACK_LINES), area)[0]
        selection.end = self._terminal.ref(columns - 1, last_row, area)[0]
        options = init_sized("GhosttyTerminalSelectionFormatOptions")
        options.emit, options.unwrap, options.trim, options.selection = form, False, True, selection
        native = self._terminal._t[0]
        return str(
            read_buf(
                lambda buffer, size, used: lib.ghostty_terminal_selection_format_buf(
                    native, options[0], buffer, size, used
                )
            )
        )

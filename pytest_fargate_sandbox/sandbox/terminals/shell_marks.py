"""Where a shell's prompt ends and a command's output begins, as marks in the stream of its terminal.

They are the marks that shells set for terminals everywhere, ``OSC 133``, with a word of our own so that nobody else's
are taken for ours: https://gitlab.freedesktop.org/Per_Bothner/specifications/blob/master/proposals/semantic-prompts.md
They say *where* something happened. *What* happened, an exit code, comes by another way (``shell_hook.py``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROMPT_BEGINS = "A"
PROMPT_ENDS = "B"
OUTPUT_BEGINS = "C"
OUTPUT_ENDS = "D"

_HEAD = b"\x1b]133;"
CURSOR_ASKED = "Q"
_CURSOR_QUERY = b"\x1b[6n"
"""busybox asks this right behind its prompt. Without an answer by Enter it waits for one, 20 ms; one that is later
would be typed into the next command. So it goes with what is typed next, and is never late.

https://git.busybox.net/busybox/tree/libbb/lineedit.c?h=1_35_stable (sent_ESC_br6n)
"""


class Mark(str):
    """One of the four, or that question."""


def mark(kind: str, word: str) -> str:
    """As a shell has to print it."""
    return f"\x1b]133;{kind};aid={word}\x07"


class MarkedStream:
    """Takes the marks out of a stream, however it was cut into pieces."""

    def __init__(self, word: str) -> None:
        self._mark = re.compile(rb"\x1b\]133;([ABCD]);aid=%s\x07" % word.encode())
        self._longest = len(mark("A", word))
        self._held = b""
        self._is_behind_prompt = False

    def feed(self, data: bytes) -> Iterator[bytes | Mark]:
        """What came, bytes and marks, in its order."""
        data, self._held = self._held + data, b""
        position = 0
        while position < len(data):
            if self._is_behind_prompt:
                next_ = data[position : position + len(_CURSOR_QUERY)]
                if next_ != _CURSOR_QUERY and _CURSOR_QUERY.startswith(next_):
                    self._held = next_
                    return
                self._is_behind_prompt = False
                if next_ == _CURSOR_QUERY:
                    position += len(_CURSOR_QUERY)
                    yield Mark(CURSOR_ASKED)
            found = self._mark.search(data, position)
            if found is None:
                break
            if found.start() > position:
                yield data[position : found.start()]
            position = found.end()
            yield Mark(found[1].decode())
            self._is_behind_prompt = found[1] == PROMPT_ENDS.encode()
        keep = self._end_of_what_is_whole(data, position)
        self._held = data[keep:]
        if keep > position:
            yield data[position:keep]

    def end(self) -> bytes:
        """What was held back, and never became a mark."""
        held, self._held = self._held, b""
        return held

    def _end_of_what_is_whole(self, data: bytes, position: int) -> int:
        """Where the beginning of a mark may be whose rest is yet to come."""
        begin = data.rfind(b"\x1b", max(position, len(data) - self._longest))
        tail = data[begin:]
        if begin >= 0 and (_HEAD.startswith(tail) or tail.startswith(_HEAD)) and b"\x07" not in tail:
            return begin
        return len(data)

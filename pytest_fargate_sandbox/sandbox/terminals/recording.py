"""What a terminal showed, and when, as an asciicast: https://docs.asciinema.org/manual/asciicast/v2/"""

from __future__ import annotations

import codecs
import json
import tempfile
import threading
import time
import weakref
from typing import Any

RECORDING_BYTES = 64 * 1024 * 1024
"""Where a recording ends, and says so."""

_LAST_LINE_BYTES = 128
"""Kept free for the line that says it."""


class Recording:
    """Grows in a file that nobody else can open; read from any offset while it grows."""

    def __init__(self, columns: int, rows: int, *, most: int = RECORDING_BYTES, title: str = "") -> None:
        self._lock = threading.Lock()
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as somebody may want to see it)
        weakref.finalize(self, self._file.close)
        self._began = time.monotonic()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._most = most
        self._size = 0
        self.is_full = False
        head = {"width": columns, "height": rows, "timestamp": int(time.time()), "title": title}
        self._head: dict[str, Any] = {"version": 2, **head, "env": {"TERM": "xterm-256color"}}
        self._append(_line_of(self._head))

    @property
    def seconds(self) -> float:
        """From its beginning to now."""
        return time.monotonic() - self._began

    def output(self, data: bytes) -> None:
        text = self._decoder.decode(data)
        if text:
            self._event("o", text)

    def typed(self, data: bytes) -> None:
        self._event("i", data.decode("utf-8", "replace"))

    def resized(self, columns: int, rows: int) -> None:
        self._event("r", f"{columns}x{rows}")

    def mark(self, label: str) -> None:
        self._event("m", label)

    def stream(self, offset: int = 0) -> tuple[list[str], int]:
        """The whole lines from this offset on, and the offset behind them."""
        if offset < 0:
            raise ValueError(f"a recording has no offset {offset}")
        with self._lock:
            self._file.seek(offset)
            text = self._file.read(max(0, self._size - offset)).decode()
            return text.split("\n")[:-1], self._size  # not splitlines(), for which a terminal's text has many more ends

    def text(self, *, version: int = 2) -> str:
        """All of it, in this version of the format."""
        if version not in (2, 3):
            raise ValueError(f"an asciicast is of version 2 or 3, not {version!r:.80}")
        lines, _ = self.stream()
        return "".join(f"{line}\n" for line in (lines if version == 2 else _as_version_3(lines)))

    def _event(self, kind: str, text: str) -> None:
        with self._lock:
            if self.is_full:
                return
            line = _line_of([round(self.seconds, 6), kind, text])
            if self._size + len(line) > self._most - _LAST_LINE_BYTES:
                self.is_full = True
                sentence = f"the recording ends here: it would be bigger than {self._most} bytes"
                line = _line_of([round(self.seconds, 6), "m", sentence])
            self._append(line)

    def _append(self, line: bytes) -> None:
        self._file.seek(self._size)
        self._size += self._file.write(line)


def _line_of(content: dict[str, Any] | list[Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _as_version_3(lines: list[str]) -> list[str]:
    """Times from event to event, and the screen's size under another name.

    https://docs.asciinema.org/manual/asciicast/v3/
    """
    head = json.loads(lines[0])
    screen = {"cols": head.pop("width"), "rows": head.pop("height"), "type": head.pop("env")["TERM"]}
    later: list[Any] = [{**head, "version": 3, "term": screen}]
    before = 0.0
    for line in lines[1:]:
        seconds, kind, text = json.loads(line)
        later.append([round(seconds - before, 6), kind, text])
        before = seconds
    return [json.dumps(line, ensure_ascii=False) for line in later]

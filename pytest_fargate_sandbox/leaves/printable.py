"""Text that came out of a sandbox, made fit for a terminal."""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_VISIBLE = {number: f"\\x{number:02x}" for number in (*range(0x20), *range(0x7F, 0xA0))} | {9: "\t", 10: "\n"}


def printable(text: str) -> str:
    """``text`` with its control characters as they are written in Python, and without colours.

    What a terminal obeys could clear a report and write another one, or set the clipboard. It is for showing only:
    results have the very bytes.
    """
    shown = _COLOUR.sub("", text).replace("\r\n", "\n").translate(_VISIBLE)
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")  # a name that is no UTF-8

"""Text that came out of a sandbox, made fit for a terminal."""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_TURNING = (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x2028, 0x2029, 0xFEFF)
"""What would show text in another order than it has, the text behind it too: https://trojansource.codes/"""
_VISIBLE = (
    {number: f"\\x{number:02x}" for number in (*range(0x20), *range(0x7F, 0xA0))}
    | {number: f"\\u{number:04x}" for number in _TURNING}
    | {9: "\t", 10: "\n"}
)


def printable(text: str) -> str:
    """``text`` with its control characters as they are written in Python, and without colours.

    What a terminal obeys could clear a report and write another one, set the clipboard, or turn a line round. It is for
    showing only: results have the very bytes.
    """
    shown = _COLOUR.sub("", text).replace("\r\n", "\n").translate(_VISIBLE)
    return shown.encode("utf-8", "backslashreplace").decode("utf-8")  # a name that is no UTF-8


def printable_line(text: str) -> str:
    """The same in one line: its ends are written out, too."""
    return printable(text).replace("\n", "\\n")


def one_line(text: str, columns: int) -> str:
    """``text`` on one line of at most so many columns, cut with an ellipsis where there is more of it.

    What could turn the line round, hide a part of it or move the cursor is written out, as in Python.
    """
    seen = unicodedata.normalize("NFC", _COLOUR.sub("", text[: 8 * columns + 80]).rstrip().replace("\t", " "))
    shown = "".join(sign if sign.isprintable() else _written_out(sign) for sign in seen)
    ends = list(accumulate(map(_columns_of, shown)))
    if not ends or ends[-1] <= columns:
        return shown
    return shown[: sum(1 for end in ends if end < columns)] + "…" if columns > 0 else ""


def columns_of(text: str) -> int:
    """How many columns a terminal takes for it."""
    return sum(map(_columns_of, text))


def _columns_of(sign: str) -> int:
    if unicodedata.category(sign) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1


def _written_out(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")

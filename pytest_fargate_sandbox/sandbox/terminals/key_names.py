"""Keys by the names that tmux gives them, and the bytes that they send.

https://man.openbsd.org/tmux.1#KEY_BINDINGS has the names, https://invisible-island.net/xterm/ctlseqs/ctlseqs.html the
bytes. As with tmux, what is no name is text.
"""

from __future__ import annotations

import re

_PLAIN = {
    "Enter": "\r",
    "KPEnter": "\r",
    "Escape": "\x1b",
    "Tab": "\t",
    "BTab": "\x1b[Z",
    "BSpace": "\x7f",
    "Space": " ",
}
_CURSOR_KEYS = {"Up": "A", "Down": "B", "Right": "C", "Left": "D", "Home": "H", "End": "F"}
_NUMBERED = {
    "IC": 2,
    "Insert": 2,
    "DC": 3,
    "Delete": 3,
    "PPage": 5,
    "PageUp": 5,
    "PgUp": 5,
    "NPage": 6,
    "PageDown": 6,
    "PgDn": 6,
    **{f"F{number}": code for number, code in zip(range(5, 13), (15, 17, 18, 19, 20, 21, 23, 24), strict=True)},
}
_FIRST_FUNCTION_KEYS = {"F1": "P", "F2": "Q", "F3": "R", "F4": "S"}
_MODIFIERS = {"S": 1, "M": 2, "C": 4}
_WITH_MODIFIERS = re.compile(r"((?:[CMS]-)+)(.+)", re.DOTALL)
_CARET = re.compile(r"\^(.)\Z")


def bytes_of_key(key: str, *, application_keys: bool = False) -> bytes | None:
    """What this key sends, or None if it is the name of none. ``application_keys``: a mode that programs ask for."""
    found = _WITH_MODIFIERS.match(key)
    if found:
        modifiers = set(found[1].replace("-", ""))
        text = _modified(found[2], modifiers)
    elif caret := _CARET.match(key):
        text = _control(caret[1])
    else:
        text = _PLAIN.get(key) or _sequence(key, 0, application_keys)
    return None if text is None else text.encode()


def _modified(key: str, modifiers: set[str]) -> str | None:
    sequence = _sequence(key, sum(_MODIFIERS[each] for each in modifiers), False)
    if sequence:
        return sequence
    text = _PLAIN.get(key, key if len(key) == 1 else None)
    if text is not None and "S" in modifiers:
        text = "\x1b[Z" if key == "Tab" else text.upper()
    if text is not None and "C" in modifiers:
        text = _control(text)
    return "\x1b" + text if text is not None and "M" in modifiers else text


def _control(character: str) -> str | None:
    if character == " ":
        return "\0"
    if character == "?":
        return "\x7f"
    code = ord(character.upper())
    return chr(code & 0x1F) if 0x40 <= code <= 0x5F else None


def _sequence(key: str, modifiers: int, application_keys: bool) -> str | None:
    """Of the keys that send more than a character: plain, or with the number that says what is held down with them."""
    held = f"1;{modifiers + 1}" if modifiers else ""
    if key in _CURSOR_KEYS:
        return f"\x1b{'O' if application_keys and not held else '['}{held}{_CURSOR_KEYS[key]}"
    if key in _FIRST_FUNCTION_KEYS:
        return f"\x1b{'[' if held else 'O'}{held}{_FIRST_FUNCTION_KEYS[key]}"
    if key in _NUMBERED:
        return f"\x1b[{_NUMBERED[key]}{held[1:]}~"
    return None

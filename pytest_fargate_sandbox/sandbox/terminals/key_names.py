"""Keys by the names that tmux gives them, and the bytes that they send.

https://man.openbsd.org/tmux.1#KEY_BINDINGS has the names, https://invisible-island.net/xterm/ctlseqs/ctlseqs.html the
bytes. As with tmux, large and small letters are the same in a name, and what is no name is text.
"""

from __future__ import annotations

import re

_PLAIN = {
    "enter": "\r",
    "kpenter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "btab": "\x1b[Z",
    "bspace": "\x7f",
    "space": " ",
    **{f"kp{character}": character for character in "0123456789+-*/."},
}
_CURSOR_KEYS = {"up": "A", "down": "B", "right": "C", "left": "D", "home": "H", "end": "F"}
_NUMBERED = {
    "ic": 2,
    "insert": 2,
    "dc": 3,
    "delete": 3,
    "ppage": 5,
    "pageup": 5,
    "pgup": 5,
    "npage": 6,
    "pagedown": 6,
    "pgdn": 6,
    **{f"f{number}": code for number, code in zip(range(5, 13), (15, 17, 18, 19, 20, 21, 23, 24), strict=True)},
}
_FIRST_FUNCTION_KEYS = {"f1": "P", "f2": "Q", "f3": "R", "f4": "S"}
_MODIFIERS = {"s": 1, "m": 2, "c": 4}
_WITH_MODIFIERS = re.compile(r"((?:[cms]-|\^)*)(.+)", re.DOTALL | re.IGNORECASE)
_BY_CODE = re.compile("0x(?!d[89a-f]..)([0-9a-f]{1,5})", re.IGNORECASE)
"""But for half a pair of surrogates, which is no character."""

_CONTROLS = dict(zip(" 2345678/-?", "\0\0\x1b\x1c\x1d\x1e\x1f\x7f\x1f\x1f\x7f", strict=True))
"""With Control, the characters that are not in the columns of ASCII that it makes controls of."""


def bytes_of_key(key: str, *, application_keys: bool = False) -> bytes | None:
    """What this key sends, or None if it is the name of none. ``application_keys``: a mode that programs ask for."""
    found = _WITH_MODIFIERS.fullmatch(key)
    if not found:
        return None
    modifiers = set(found[1].lower().replace("-", "").replace("^", "c"))
    held, name = sum(_MODIFIERS[each] for each in modifiers), found[2]
    text = _sequence(name.lower(), held, application_keys and not held)
    if not text:
        text = _character(name, modifiers)
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _character(name: str, modifiers: set[str]) -> str | None:
    """Of what sends one, and perhaps an Escape before it."""
    code, text = _BY_CODE.fullmatch(name), _PLAIN.get(name.lower())
    if code:
        text = chr(int(code[1], 16))
    elif "s" in modifiers and text == "\t":
        text = _PLAIN["btab"]
    elif text is None and len(name) == 1 and modifiers and "s" not in modifiers:
        text = name
    if text is not None and "c" in modifiers:
        text = _control(text)
    return "\x1b" + text if text is not None and "m" in modifiers else text


def _control(text: str) -> str:
    """Where there is no control of it, it is what it is, as with xterm."""
    return chr(ord(text.upper()) & 0x1F) if re.fullmatch("[@-_a-z]", text) else _CONTROLS.get(text, text)


def _sequence(key: str, modifiers: int, application_keys: bool) -> str | None:
    """Of the keys that send more than a character: plain, or with the number that says what is held down with them."""
    held = f"1;{modifiers + 1}" if modifiers else ""
    if key in _CURSOR_KEYS:
        return f"\x1b{'O' if application_keys else '['}{held}{_CURSOR_KEYS[key]}"
    if key in _FIRST_FUNCTION_KEYS:
        return f"\x1b{'[' if held else 'O'}{held}{_FIRST_FUNCTION_KEYS[key]}"
    if key in _NUMBERED:
        return f"\x1b[{_NUMBERED[key]}{held[1:]}~"
    return None

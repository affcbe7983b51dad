"""A pattern of ``.dockerignore`` and the names that fit it, or lie below one that does.

Patterns and names are a task's author's. Python tries each way in which stars can share a name between them, more than
anybody can wait for where there are a dozen; so each but the last takes the least that it can, and keeps to it. Nothing
is missed by that: what it leaves over, the next one takes.
"""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SIGN = re.compile(r"\*\*|\*|\?|\[\^?(?:\\.|[^]\\])+\]|\\.|.", re.DOTALL)
_DIRECTORIES = "**/"
_STARS = {"*": "[^/]*?", "**": ".*?", _DIRECTORIES: "(?:.*?/)??"}


def name_pattern(parts: Sequence[str]) -> re.Pattern[str]:
    """Of a pattern's parts, which stand between slashes. Raises ``re.error``."""
    signs: list[str] = []
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        if part == "**":
            signs.append("**" if last else _DIRECTORIES)
        else:
            signs += _SIGN.findall(part) + ([] if last else ["/"])
    names = (f"star{number}" for number in count())
    stretches = _split(signs, "**", _DIRECTORIES)
    told = "".join(_kept(names, _stretch(names, each)) for each in stretches[:-1])
    return re.compile(f"{told}{_stretch(names, stretches[-1], free=True)}(?:/.*)?", re.DOTALL)


def _stretch(names: Iterator[str], signs: Sequence[str], *, free: bool = False) -> str:
    """What no ``**`` interrupts; the last star of it is ``free`` to take more than the least."""
    begin, *stars = ["".join(map(_expression, each)) for each in _split(signs, "*")]
    last = stars.pop() if free and stars else ""
    return begin + "".join(_kept(names, each) for each in stars) + last


def _split(signs: Sequence[str], *stars: str) -> list[list[str]]:
    """Before each of these stars."""
    found: list[list[str]] = [[]]
    for sign in signs:
        if sign in stars:
            found.append([])
        found[-1].append(sign)
    return found


def _kept(names: Iterator[str], expression: str) -> str:
    """Which is not tried in another way when what follows it fails. Python has a word for it from 3.11 on."""
    name = next(names)
    return f"(?=(?P<{name}>{expression}))(?P={name})"


def _expression(sign: str) -> str:
    if sign in _STARS:
        return _STARS[sign]
    if sign == "?":
        return "[^/]"
    if len(sign) > 2 and sign[0] == "[":
        # A class of characters reads the same in both languages, but that in Go's a backslash means the next sign, and
        # that in Python's some signs may mean sets some day. Here none takes a slash: a star has its part of the name.
        return "(?!/)[" + re.sub(r"\\(.)|([\[&|~]|(?<=-)-)", lambda found: re.escape(found[1] or found[2]), sign[1:])
    return re.escape(sign[1:] if len(sign) == 2 and sign[0] == "\\" else sign)

"""A pattern of ``.dockerignore`` and the names that fit it, or lie below one that does.

Patterns and names are a task's author's. Python tries each way in which stars can share a name between them, more than
anybody can wait for where there are a dozen; so where there are more than two, all are gone together, sign by sign.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Fits = Callable[[str], object]

_MOST_STARS = 2
_MOST_KNOWN = 10_000
_SIGN = re.compile(r"\*\*|\*|\?|\[\^?(?:\\.|[^]\\])+\]|\\.|.", re.DOTALL)
_DIRECTORIES = "**/"
_WILDCARDS = {"**": ".*", "*": "[^/]*", "?": "[^/]", _DIRECTORIES: "(?:.*/)?"}
_STARS = ("**", "*", _DIRECTORIES)


def name_pattern(parts: Sequence[str]) -> Fits:
    """Of a pattern's parts, which stand between slashes. Raises ``re.error``."""
    signs: list[str] = []
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        if part == "**":
            signs.append("**" if last else _DIRECTORIES)
        else:
            signs += _SIGN.findall(part) + ([] if last else ["/"])
    if sum(sign in _STARS for sign in signs) > _MOST_STARS:
        return _AllWays(signs).fits
    return re.compile("".join(map(_expression, signs)) + "(?:/.*)?", re.DOTALL).fullmatch


def _expression(sign: str) -> str:
    if sign in _WILDCARDS:
        return _WILDCARDS[sign]
    if len(sign) > 2 and sign[0] == "[":
        # A class of characters reads the same in both languages, but that in Go's a backslash means the next sign, and
        # that in Python's some signs may mean sets some day.
        return "[" + re.sub(r"\\(.)|([\[&|~]|(?<=-)-)", lambda found: re.escape(found[1] or found[2]), sign[1:])
    return re.escape(sign[1:] if len(sign) == 2 and sign[0] == "\\" else sign)


class _AllWays:
    """Behind each sign of a name, in which places of the pattern a way through it can stand."""

    def __init__(self, signs: Sequence[str]) -> None:
        self._places: list[_Place] = []
        for sign in signs:
            at = len(self._places)
            if sign == _DIRECTORIES:
                self._places += [_Place(_nothing, _nothing, (at + 1, at + 2)), _Place("/".__eq__, _anything)]
            elif sign in _STARS:
                self._places.append(_Place(_nothing, _anything if sign == "**" else "/".__ne__, (at + 1,)))
            else:
                self._places.append(_Place(re.compile(_expression(sign), re.DOTALL).fullmatch, _nothing))
        self._known: dict[tuple[frozenset[int], str], frozenset[int]] = {}
        self._begin = self._closed({0})

    def fits(self, name: str) -> bool:
        states, end = self._begin, len(self._places)
        for sign in name:
            if sign == "/" and end in states:
                return True
            states = self._known.get((states, sign)) or self._behind(states, sign)
            if not states:
                return False
        return end in states

    def _behind(self, states: frozenset[int], sign: str) -> frozenset[int]:
        places = [(at, self._places[at]) for at in states if at < len(self._places)]
        after = {at for at, place in places if place.stays(sign)} | {at + 1 for at, place in places if place.goes(sign)}
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        return self._known.setdefault((states, sign), self._closed(after))

    def _closed(self, states: set[int]) -> frozenset[int]:
        new = list(states)
        while new:
            at = new.pop()
            further = {*self._places[at].leads_on} - states if at < len(self._places) else set()
            states |= further
            new += further
        return frozenset(states)


class _Place(NamedTuple):
    goes: Fits
    """Over this sign, to the next place."""
    stays: Fits
    leads_on: tuple[int, ...] = ()
    """To where it leads without any sign."""


def _nothing(_sign: str) -> bool:
    return False


def _anything(_sign: str) -> bool:
    return True

"""Globs over paths: ``*`` ``?`` ``[abc]`` within a name, ``**`` for any number of directories.

Names are a tenant's, who may know the glob: matching takes no longer than the product of both lengths.
"""

import fnmatch
import re

from pytest_fargate_sandbox.server.protocol import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, FrozenSet

    States = FrozenSet[int]
    FitsCharacter = Callable[[str], object]

_MAGIC = re.compile(rb"[*?[]")
_TOKEN = re.compile(r"\*+|\[!?\]?[^\]]*\]|.", re.DOTALL)


class Glob:
    """What is matched name by name, as directories are walked: a state is how many of its parts have matched.

    A directory that matches comes with all that is in it.
    """

    def __init__(self, *parts: bytes) -> None:
        self._parts = [None if part == b"**" else _NamePattern(part) for part in parts]
        self.begin = self._closed({0})

    @classmethod
    def of(cls, pattern: str) -> "Glob":
        """Of a relative path."""
        return cls(*(part for part in encoded(pattern).split(b"/") if part not in (b"", b".")))

    def step(self, states: "States", name: str) -> "States":
        """Behind one more name."""
        if self.is_whole(states):
            return states
        after = set()
        for state in states:
            part = self._parts[state]
            if part is None:
                after.add(state)
            elif part.fits(name):
                after.add(state + 1)
        return self._closed(after)

    def is_whole(self, states: "States") -> bool:
        """Whether all of it has matched."""
        return len(self._parts) in states

    def unfinished(self, states: "States") -> "States":
        """Those that a further name may follow."""
        return states - {len(self._parts)}

    def _closed(self, states: "set[int]") -> "States":
        """``**`` may be no directory at all."""
        for state in range(len(self._parts)):
            if state in states and self._parts[state] is None:
                states.add(state + 1)
        return frozenset(states)


class _NamePattern:
    def __init__(self, pattern: bytes) -> None:
        tokens = _TOKEN.findall(pattern.decode("utf-8", "surrogateescape"))
        self._tokens = [None if token[0] == "*" else _fitting(token) for token in tokens]
        """None is a star."""

    def fits(self, name: str) -> bool:
        at = token = mark = 0
        star = -1
        while at < len(name):
            fits = self._tokens[token] if token < len(self._tokens) else _nothing
            if fits is None:
                star, mark = token, at
                token += 1
            elif fits(name[at]):
                at += 1
                token += 1
            elif star >= 0:  # it takes one character more
                mark += 1
                at, token = mark, star + 1
            else:
                return False
        return all(each is None for each in self._tokens[token:])


def _fitting(token: str) -> "FitsCharacter":
    """Whether one character fits."""
    if len(token) == 1 and token != "?":
        return token.__eq__
    return re.compile(fnmatch.translate(token)).match


def _nothing(_character: str) -> bool:
    return False


def split(path: bytes) -> "tuple[bytes, list[bytes]]":
    """The part without any glob, and the rest name by name."""
    parts = path.split(b"/")
    plain = 0
    while plain < len(parts) and not _MAGIC.search(parts[plain]):
        plain += 1
    base = b"/".join(parts[:plain])
    return base or (b"/" if path.startswith(b"/") else b"."), [part for part in parts[plain:] if part]

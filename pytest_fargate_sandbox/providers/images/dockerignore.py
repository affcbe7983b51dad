"""``.dockerignore``, as docker reads it.

One pattern a line, ``#`` comments, ``!`` brings back, the last match wins, and what matches a directory matches all
that is in it. ``*`` and ``?`` stop at a slash, ``**`` does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import ImageBuildError
from pytest_fargate_sandbox.providers.images.context_tree import CONTEXT_PHASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_ALWAYS_SENT = frozenset({"Dockerfile", ".dockerignore"})


def ignore_rules(context: Path) -> Callable[[str, bool], bool] | None:
    """What ``.dockerignore`` leaves out, as ``skip(name, is_directory)``; None where there is nothing to leave out."""
    # https://docs.docker.com/build/concepts/context/#filename-and-location
    for name in ("Dockerfile.dockerignore", ".dockerignore"):
        file = context / name
        if file.is_file():
            rules = list(_rules_in(file))
            return _skip(rules) if rules else None
    return None


def _rules_in(file: Path) -> Iterator[tuple[bool, re.Pattern[str]]]:
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ImageBuildError(f"{file}: is not UTF-8: {error}", phase=CONTEXT_PHASE) from None
    for number, line in enumerate(lines, 1):
        try:
            rule = _rule(line)
        except re.error as error:
            raise ImageBuildError(
                f"{file}:{number}: {line.strip()!r} is no pattern: {error.msg}", phase=CONTEXT_PHASE
            ) from None
        if rule:
            yield rule


def _skip(rules: list[tuple[bool, re.Pattern[str]]]) -> Callable[[str, bool], bool]:
    brings_back = any(back for back, _ in rules)

    def skip(name: str, is_directory: bool) -> bool:
        if name in _ALWAYS_SENT:
            return False
        ignored = False
        for back, pattern in rules:
            if back == ignored and pattern.fullmatch(name):
                ignored = not back
        # Something below an ignored folder may be brought back, so the folder itself has to be looked into.
        return ignored and not (is_directory and brings_back)

    return skip


def _rule(line: str) -> tuple[bool, re.Pattern[str]] | None:
    pattern = line.strip()
    if not pattern or line.startswith("#"):
        return None
    back = pattern.startswith("!")
    parts = [part for part in pattern.removeprefix("!").strip().split("/") if part not in ("", ".")]
    return (back, re.compile(_expression(parts))) if parts else None


def _expression(parts: list[str]) -> str:
    """The pattern's parts as a regular expression for a name, or for anything below it."""
    expression = ""
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        if part == "**":
            expression += ".*" if last else "(?:.*/)?"
        else:
            expression += "".join(_piece(piece) for piece in _pieces(part)) + ("" if last else "/")
    return expression + "(?:/.*)?"


def _pieces(part: str) -> list[str]:
    return re.findall(r"\*\*|\*|\?|\[\^?(?:\\.|[^]\\])+\]|\\.|.", part, re.DOTALL)


def _piece(piece: str) -> str:
    if piece in _WILDCARDS:
        return _WILDCARDS[piece]
    if len(piece) > 2 and piece[0] == "[":
        # A class of characters reads the same in both languages, but that in Go's a backslash means the next sign, and
        # that in Python's some signs may mean sets some day.
        return "[" + re.sub(r"\\(.)|([\[&|~]|(?<=-)-)", lambda sign: re.escape(sign[1] or sign[2]), piece[1:])
    return re.escape(piece[1:] if len(piece) == 2 and piece[0] == "\\" else piece)


_WILDCARDS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}

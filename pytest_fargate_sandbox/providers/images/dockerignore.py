"""``.dockerignore``, as docker reads it.

One pattern a line, ``#`` comments, ``!`` brings back, the last match wins, and what matches a directory matches all
that is in it. ``*`` and ``?`` stop at a slash, ``**`` does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import ImageBuildError
from pytest_fargate_sandbox.providers.images.context_tree import CONTEXT_PHASE
from pytest_fargate_sandbox.providers.images.name_pattern import name_pattern

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
    return (back, name_pattern(parts)) if parts else None

"""What a Dockerfile says of its stages: on what each stands, and how its container begins.

As https://docs.docker.com/reference/dockerfile/ has it. What a base image says of itself stands in no Dockerfile.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BACKQUOTE_ESCAPES = re.compile(
    r"(?:#[ \t]*\w+[ \t]*=.*\n)*#[ \t]*escape[ \t]*=[ \t]*`[ \t]*$", re.IGNORECASE | re.MULTILINE
)
"""Where nothing else comes before: https://docs.docker.com/reference/dockerfile/#parser-directives"""
_HERE_DOCUMENT = re.compile(r"""(?:^|\s)\d*<<(-?)(["']?)([^\s<"']+)\2(?=\s|$)""")
_HAVE_HERE_DOCUMENTS = ("RUN", "COPY", "ADD", "ONBUILD")
_FROM = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^}]*))?\})")
_LONGEST = 4096
"""Characters of what can be an image's name, or a part of one."""
_LONGEST_LINE = 65536
"""Quotes are heeded in: of a megabyte it takes a quarter of a minute."""


@dataclass(frozen=True)
class Stage:
    base: str
    """The image that it stands on, by way of earlier stages or not."""
    entry_point: list[str] | None = None
    """Its words; None, if the file names none, so that it has the base's."""
    shell: tuple[str, ...] = ("/bin/sh", "-c")


def stages_of(dockerfile: Path) -> list[Stage]:
    """In their order. The last one is the image."""
    arguments: dict[str, str] = {}
    named: dict[str, Stage] = {}
    stages: list[Stage] = []
    name = ""
    for word, said in _instructions(dockerfile.read_text(encoding="utf-8-sig", errors="replace")):
        if word == "FROM" and (found := _FROM.match(said)):
            base, name = _filled_in(found[1], arguments), (found[2] or "").lower()
            stages.append(named.get(base.lower()) or Stage(base))
        elif word == "ARG" and not stages:
            arguments |= dict(each.split("=", 1) for each in _split(said) if "=" in each)
        elif word == "ENTRYPOINT" and stages:
            stages[-1] = replace(stages[-1], entry_point=_words(said, stages[-1].shell))
        elif word == "SHELL" and stages:
            stages[-1] = replace(stages[-1], shell=tuple(_words(said, ())))
        if name and stages:
            named[name] = stages[-1]
    return stages


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """The first word of each, and all others in one line; what here-documents hold is none of them."""
    text = text.replace("\r\n", "\n")
    escape = "`" if _BACKQUOTE_ESCAPES.match(text) else "\\"
    lines = iter(text.rstrip().rstrip(escape).split("\n"))
    parts: list[str] = []
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue  # in the middle of an instruction, too
        if line.rstrip().endswith(escape):
            parts.append(line.rstrip()[:-1])
            continue
        word, rest = (*"".join((*parts, line)).split(None, 1), "")[:2]
        parts.clear()
        yield word.upper(), rest.strip()
        for dash, _, end in _HERE_DOCUMENT.findall(rest) if word.upper() in _HAVE_HERE_DOCUMENTS else ():
            any((inner.lstrip("\t") if dash else inner) == end for inner in lines)


def _words(said: str, shell: tuple[str, ...]) -> list[str]:
    try:
        words = json.loads(said)
    except ValueError:
        words = None
    is_list = isinstance(words, list) and all(isinstance(word, str) for word in words)
    return words if is_list else [*shell, said]


def _split(said: str) -> list[str]:
    try:
        return shlex.split(said) if len(said) <= _LONGEST_LINE else said.split()
    except ValueError:
        return said.split()


def _filled_in(image: str, arguments: dict[str, str]) -> str:
    """With the defaults of the arguments; one that has none stays as it is written."""

    def value(found: re.Match[str]) -> str:
        known, operator, word = arguments.get(found[1] or found[2]), found[3] or "", found[4] or ""
        known = known and known[:_LONGEST]
        if operator.endswith("+"):
            return word if known else ""
        if operator:
            return known or word
        return found[0] if known is None else known

    return _VARIABLE.sub(value, image) if len(image) <= _LONGEST else image

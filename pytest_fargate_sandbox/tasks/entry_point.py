"""What an image does as its container begins, where the Dockerfile that it is built from says so.

A sandbox's own server takes the place of the ENTRYPOINT, so that is run beside it: as harnesses have it, with a command
that does nothing, which it comes to when it has set up what it has to.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LINE = re.compile(
    r"^\s*(?:FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?|ENTRYPOINT\s+(.+))", re.IGNORECASE | re.MULTILINE
)
_CONTINUED = re.compile(r"\\[ \t]*\n")
_NOTHING = ("sleep", "infinity")
_BEGINS = """setsid {words} </dev/null >/dev/null 2>&1 &
for _ in $(seq 50); do
    case "$(tr '\\0' ' ' 2>/dev/null </proc/$!/cmdline)" in "{nothing} " | "") break ;; esac
    sleep 0.1
done"""
"""Until it has come to the command, has ended, or goes on in front of it, as a server does."""


def entry_point_of(dockerfile: Path) -> list[str]:
    """The words of its last stage's, which may have it of an earlier one; none, if it has none."""
    stages: dict[str, list[str]] = {}
    name, words = "", list[str]()
    text = _CONTINUED.sub(" ", dockerfile.read_text(encoding="utf-8", errors="replace"))
    for base, stage, said in _LINE.findall(text):
        if said:
            words = _words(said.strip())
        else:
            name, words = stage, list(stages.get(base, []))
        stages[name] = words
    return words


def _words(said: str) -> list[str]:
    try:
        words = json.loads(said)
    except ValueError:
        words = None
    return [str(word) for word in words] if isinstance(words, list) else ["/bin/sh", "-c", said]


def beginning_of(context: Path | None) -> str:
    """What to run as the image's user in a sandbox that has just begun, of an image built there; "", if nothing."""
    words = entry_point_of(context / "Dockerfile") if context is not None else []
    return _BEGINS.format(words=shlex.join([*words, *_NOTHING]), nothing=" ".join(_NOTHING)) if words else ""

"""What an image does as its container begins, where the Dockerfile that it is built from says so.

A sandbox's own server takes the place of the ENTRYPOINT, so that is run beside it: as harnesses have it, with a command
that does nothing, which it comes to when it has set up what it has to.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.tasks.dockerfile import stages_of

if TYPE_CHECKING:
    from pathlib import Path

_NOTHING = ("sleep", "infinity")
_BEGINS = """setsid {words} </dev/null >/dev/null 2>&1 &
for _ in $(seq 50); do
    case "$(tr '\\0' ' ' 2>/dev/null </proc/$!/cmdline)" in "{nothing} " | "") exit ;; esac
    sleep 0.1
done
echo 'the ENTRYPOINT of its Dockerfile does not come to its command: each sandbox waits 5 s, and it goes on beside'"""
"""Until it has come to the command, has ended, or goes on in front of it, as a server does."""


def beginning_of(context: Path | None) -> str:
    """What to run as the image's user in a sandbox that has just begun, of an image built there; "", if nothing.

    It says what is to be told.
    """
    stages = stages_of(context / "Dockerfile") if context is not None else []
    words = stages[-1].entry_point if stages else None
    return _BEGINS.format(words=shlex.join([*words, *_NOTHING]), nothing=" ".join(_NOTHING)) if words else ""

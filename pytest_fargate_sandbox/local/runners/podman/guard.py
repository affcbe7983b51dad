"""A process that outlives an engine killed by SIGKILL for as long as it takes to tidy up after it.

Containers are not our children, so nothing of the kernel's ends them with us. This reads its standard input, which
closes when the engine is gone, however it went; then it removes every container with the engine's label.
Started as ``python guard.py LABEL COMMAND...``; it imports nothing of ours.
"""

from __future__ import annotations

import subprocess
import sys


def main(label: str, *command: str) -> None:
    sys.stdin.buffer.read()
    for _ in range(_ROUNDS):  # an infra container goes only when those that joined it are gone
        listed = _output(*command, "ps", "-aq", "--filter", f"label={label}")
        if not listed:
            break
        _output(*command, "rm", "-f", "-v", *_REMOVE_NOW.get(command[0], ()), *listed.split())


_ROUNDS = 5
_REMOVE_NOW = {"podman": ("-t", "0")}


def _output(*command: str) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])

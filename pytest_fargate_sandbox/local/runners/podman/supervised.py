"""Runs a builder, and ends it with all that it started when nobody holds our standard input open any more.

That is how a build is stopped, and how it ends with an engine that was killed. podman itself leaves the processes of a
build's step behind when it is told to end; but when those are killed, it tidies up and fails. Started as
``python supervised.py COMMAND...``; its exit code is the command's. It imports nothing of ours.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

_TIDYING_SEC = 20.0
_ROUND_SEC = 0.1
_IDLE_SEC = 2.0
"""How long the builder may be without a step, tidying up or between two of them, before it is told to end itself."""


def main(*command: str) -> int:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    handle = os.pidfd_open(process.pid)
    ready, _, _ = select.select([handle, sys.stdin], [], [])
    if handle not in ready:
        _end(process)
    return process.wait() % 256


def _end(process: subprocess.Popen[bytes]) -> None:
    idle = 0.0
    for _ in range(int(_TIDYING_SEC / _ROUND_SEC)):
        steps = _leaves(process.pid)
        for pid in steps:
            _kill(pid, signal.SIGKILL)
        idle = 0.0 if steps else idle + _ROUND_SEC
        if idle > _IDLE_SEC:
            _kill(process.pid, signal.SIGTERM)
        try:
            process.wait(_ROUND_SEC)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()


def _leaves(ancestor: int) -> list[int]:
    """The processes below ``ancestor`` that have no children: a step's own, not the runtime that watches it."""
    parents = _parents()
    family = {ancestor}
    while True:
        grown = family | {pid for pid, parent in parents.items() if parent in family}
        if grown == family:
            break
        family = grown
    above = {parents[pid] for pid in family - {ancestor}}
    return list(family - above - {ancestor})


def _parents() -> dict[int, int]:
    names = filter(str.isdigit, os.listdir("/proc"))  # noqa: PTH208 - the names are all that is wanted
    parents = {int(name): _parent(name) for name in names}
    return {pid: parent for pid, parent in parents.items() if parent is not None}


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib loads slowly, and is not needed
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return None  # it ended meanwhile


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        pass  # gone already


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

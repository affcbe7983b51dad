"""Which process one is, and whether another still runs: a number alone may be somebody else's by now."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def this_process() -> dict[str, Any]:
    """The facts by which anybody can tell whether this process still runs."""
    return {"pid": os.getpid(), "pid_began": process_began(os.getpid()), "pid_space": _pid_space()}


def still_runs(facts: Mapping[str, Any]) -> bool:
    """Whether the process that said ``this_process`` does: that very one, not another that got its number.

    One that counts its processes apart from ours (a container) is out of our sight, so it is not known to have ended.
    """
    pid, began = facts.get("pid", 0), str(facts.get("pid_began"))
    if process_began(pid) == began:
        return True
    space = facts.get("pid_space", _pid_space())
    return bool(space != _pid_space() and began.partition("/")[0] == _boot())


def process_began(pid: int) -> str:
    """When the process began, in words that never fit another process; empty where there is no such process."""
    return _own_beginning(pid) if pid == os.getpid() else _beginning(pid)


@cache
def _own_beginning(pid: int) -> str:
    return _beginning(pid)


def _beginning(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _beginning_without_proc(pid)
    fields = stat.rpartition(")")[2].split()
    if fields[0] == "Z":  # dead, and nobody has asked how: a container's first process seldom does
        return ""
    return f"{_boot()}/{fields[19]}"


def _beginning_without_proc(pid: int) -> str:
    if Path("/proc/self/stat").exists() or pid <= 0:
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pid_space() -> str:
    """In which namespace our numbers count; empty where there is only one."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - it names no file
    except OSError:
        return ""

"""Which process one is, and whether another still runs: a number alone may be somebody else's by now."""

from __future__ import annotations

import contextlib
import os
import signal
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def this_process() -> dict[str, Any]:
    """The facts by which anybody can tell whether this process still runs."""
    return identity_of(os.getpid())


def identity_of(pid: int) -> dict[str, Any]:
    """As ``this_process``, of another of ours."""
    return {"pid": pid, "pid_began": process_began(pid), "pid_space": _pid_space()}


def still_runs(facts: Mapping[str, Any]) -> bool:
    """Whether the process that said ``this_process`` does: that very one, not another that got its number.

    One that counts its processes apart from ours (a container) is out of our sight, so it is not known to have ended.
    """
    pid, began = facts.get("pid", 0), str(facts.get("pid_began"))
    if process_began(pid) == began:
        return True
    space = facts.get("pid_space", _pid_space())
    return bool(space != _pid_space() and began.partition("/")[0] == boot())


def kill(facts: Mapping[str, Any]) -> bool:
    """SIGKILL for the process that said ``this_process``; False where it is none that we see. Raises ``OSError``."""
    pid = int(facts.get("pid", 0))
    with contextlib.ExitStack() as stack:
        end = partial(os.kill, pid, signal.SIGKILL)
        if hasattr(os, "pidfd_open"):  # which is that process's, and no later one's
            try:
                handle = os.pidfd_open(pid)
            except OSError:
                return False
            stack.callback(os.close, handle)
            end = partial(signal.pidfd_send_signal, handle, signal.SIGKILL)
        if pid <= 0 or process_began(pid) != facts.get("pid_began"):
            return False
        try:
            end()
        except ProcessLookupError:  # somebody else was quicker
            return False
    return True


def is_stopped(pid: int) -> bool:
    """By SIGSTOP or a debugger; False where the kernel does not say."""
    states = _states_of_threads(pid)
    return bool(states) and states <= {"T", "t"}


def is_busy(pid: int) -> bool:
    """Whether it runs, or would if it had a processor or its memory; False where the kernel does not say."""
    return not _states_of_threads(pid).isdisjoint({"R", "D"})


def _states_of_threads(pid: int) -> set[str]:
    states = set()
    for thread in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # it ends just now
            states.add(thread.read_text().rpartition(")")[2].split()[0])
    return states


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
    return f"{boot()}/{fields[19]}"


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
def boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pid_space() -> str:
    """In which namespace our numbers count; empty where there is only one."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - it names no file
    except OSError:
        return ""

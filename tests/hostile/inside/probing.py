"""What the probes are made of: each tries one way out of the sandbox, and says by which it got somewhere.

They run inside, on nothing but Python's own library. A probe's name is its row's in tests/hostile/rows.py.
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PROBES: dict[str, Any] = {}

libc = ctypes.CDLL(None, use_errno=True)
ON_X86 = os.uname().machine == "x86_64"


def probe(function: Any) -> Any:
    """``function`` is given what the outside tells, and gives what it reached."""
    PROBES[function.__name__] = function
    return function


def reached(ways: dict[str, Callable[[], Any]]) -> list[str]:
    """The names of those that raise no OSError and give something."""
    found = []
    for name, way in ways.items():
        try:
            if way():
                found.append(name)
        except (OSError, ValueError):
            continue
    return found


def heard(result: int) -> bool:
    """Whether the kernel did what a system call asked, or looked at it at least: many ask for what cannot be."""
    return result >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.EACCES, errno.ENOSYS)


def system_call(on_x86: int, elsewhere: int, *arguments: Any) -> int:
    """Each argument as wide as the kernel reads it."""
    wide = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(libc.syscall(on_x86 if ON_X86 else elsewhere, *wide))


def contents(path: str, most: int = 1 << 20) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def in_a_child(action: Callable[[], Any]) -> bool:
    """Whether it gave something there; whatever became of the child."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if action() else 1)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

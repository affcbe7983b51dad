"""The processes of a user: ending all of them, and making sure that there is none."""

import itertools
import os
import signal
import threading
import time

from pytest_fargate_sandbox.server.thread_rights import as_owner_of_processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

_ONE_KILL_SEC = 2.0
_PAUSES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)


def end_all(uid: int, spare: int, patience: float) -> "list[int]":
    """Kill them until there is none; those that are left when patience is over.

    One ``kill(-1)`` is enough for a crowd that forks as fast as it dies: the kernel holds the table of processes
    meanwhile, and who has been signalled cannot fork any more.
    """
    end = time.monotonic() + patience
    for rounds in itertools.count():
        _kill_all(uid, spare)  # before they are counted: while a crowd runs, that takes long
        left = list(processes_of(uid))
        if not left or time.monotonic() > end:
            return left
        time.sleep(_PAUSES[min(rounds, len(_PAUSES) - 1)])
    raise AssertionError


def _kill_all(uid: int, spare: int) -> None:
    """In a thread that nobody needs afterwards: for the moment in which it acts as him, he may set its priority.

    https://man7.org/linux/man-pages/man2/sched_setscheduler.2.html (Privileges and resource limits)
    """
    killer = threading.Thread(target=_kill, args=(uid, spare), name="killer", daemon=True)
    try:
        killer.start()
    except RuntimeError:  # no process is left for it
        _kill(uid, spare)
    else:
        killer.join(_ONE_KILL_SEC)


def _kill(uid: int, spare: int) -> None:
    with as_owner_of_processes(uid, spare):
        try:
            os.kill(-1, signal.SIGKILL)
        except OSError:
            pass  # there is nobody else at all


def processes_of(uid: int) -> "Iterator[int]":
    """All that live and have this uid in any role; as ``status`` says, which is true of all."""
    wanted = b"%d" % uid
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/status" % name, "rb", buffering=0) as file:
                text = file.read(1024)
        except OSError:
            continue
        state = text[text.find(b"\nState:\t") + 8 :][:1]
        line = text[text.find(b"\nUid:\t") + 6 :].split(b"\n", 1)[0]
        if wanted in line.split() and state not in b"ZX":
            yield int(name)

"""What the server asks of the kernel for its own process."""

import os

_SET_DUMPABLE = 4
_SET_CHILD_SUBREAPER = 36


def hide_memory() -> bool:
    """Close our memory, environment, maps and descriptors in ``/proc`` to the code that we run. Whether that worked.

    Commands run as our own user, whose processes the kernel lets look into each other. Not into one that is not
    "dumpable" (PR_SET_DUMPABLE(2const), ptrace(2) "Ptrace access mode checking"): that takes CAP_SYS_PTRACE, which
    root of a container has only if its task definition adds it. Holds until we execute a program; our children inherit
    it up to their own ``execve``. From here on ``/proc/self`` is root's: what has to be written there is open by now.
    """
    return _prctl(_SET_DUMPABLE, 0) or _hide_by_a_change_of_group()


def become_subreaper() -> None:
    """Orphans of our commands come to us, though we are not PID 1.

    Where that cannot be had, a daemon outlives the time-out of its command, and nothing worse.
    """
    if os.getpid() != 1:
        _prctl(_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> bool:
    try:
        import ctypes

        return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


def _hide_by_a_change_of_group() -> bool:
    """Without ctypes: a process whose effective group changes is not dumpable either (``commit_creds`` in the kernel).

    Only root may change it. Where fs.suid_dumpable is 1 it would change nothing.
    """
    own = os.getegid()
    try:
        with open("/proc/sys/fs/suid_dumpable", "rb") as file:
            if file.read(1) == b"1":
                return False
        os.setegid(own + 1)
        os.setegid(own)
    except OSError:
        return False
    return True

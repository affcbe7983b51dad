"""One thread of ours acts with a tenant's rights for a moment.

In Linux rights are a thread's (nptl(7)): the C library's ``setresuid`` changes those of all threads, the system call
only those of the caller. So what the server does to a tenant's files it does as the tenant, and the kernel answers
whether it may, links and races and all; and it ends a tenant's processes as somebody whom they cannot signal.
"""

import contextlib
import ctypes
import os
import sys

from pytest_fargate_sandbox.server.prctl import hide_memory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Sequence

# https://github.com/torvalds/linux/blob/v6.1/arch/x86/entry/syscalls/syscall_64.tbl
# https://github.com/torvalds/linux/blob/v6.1/include/uapi/asm-generic/unistd.h
_NUMBERS = {
    "x86_64": {"setgroups": 116, "setresuid": 117, "setfsuid": 122, "setfsgid": 123, "keyctl": 250},
    "aarch64": {"setgroups": 159, "setresuid": 147, "setfsuid": 151, "setfsgid": 152, "keyctl": 219},
}
_calls = _NUMBERS.get(os.uname().machine, {}) if sys.maxsize > 1 << 32 else {}
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def why_not() -> str:
    """What keeps threads here from acting as others; nothing, if nothing does."""
    if os.geteuid() != 0:
        return "the container runs as uid %d, and it takes root" % os.geteuid()
    if not _calls:
        return "system calls of %s are not known here" % os.uname().machine
    try:
        with as_owner_of_files(65534, 65534):
            is_somebody = _fsuid() == 65534
    except OSError as error:
        return "the kernel does not let root act as others: %s" % error.strerror
    return "" if is_somebody and _fsuid() == 0 else "the kernel does not let root act as others"


@contextlib.contextmanager
def as_owner_of_files(uid: int, gid: int, others: "Sequence[int]" = ()) -> "Iterator[None]":
    """For the kernel's checks of files, this thread is somebody with these groups, and without root's rights."""
    groups = os.getgroups()
    _call("setgroups", len(others), (ctypes.c_uint32 * len(others))(*others))
    _call("setfsgid", gid)
    _call("setfsuid", uid)
    try:
        yield
    finally:
        _call("setfsuid", 0)
        _call("setfsgid", os.getegid())
        _call("setgroups", len(groups), (ctypes.c_uint32 * len(groups))(*groups))
        hide_memory()  # where fs.suid_dumpable is 1, a change of rights opens it


@contextlib.contextmanager
def as_owner_of_processes(uid: int, spare: int) -> "Iterator[None]":
    """This thread may signal that user's processes, and none of them may signal it.

    The real uid is one that nobody runs as, the saved one is root's. ``kill(-1)`` passes over its sender's process.
    https://github.com/torvalds/linux/blob/v6.1/kernel/signal.c (kill_ok_by_cred, kill_something_info)
    """
    _call("setresuid", spare, uid, 0)
    try:
        yield
    finally:
        _call("setresuid", 0, 0, 0)
        hide_memory()


def remove_ipc(kind: str, number: int) -> bool:
    """A System V object of the user as whom this thread acts. Whether that worked."""
    remove = 0  # IPC_RMID
    if kind == "sem":
        return bool(_libc.semctl(number, 0, remove) == 0)
    return bool(getattr(_libc, kind + "ctl")(number, remove, None) == 0)


def keyctl(*arguments: int) -> int:
    """What the kernel answers; an error is its number, negative."""
    values = [ctypes.c_long(value) for value in (*arguments, *[0] * (5 - len(arguments)))]
    answer = int(_libc.syscall(ctypes.c_long(_calls["keyctl"]), *values))
    return -ctypes.get_errno() if answer < 0 else answer


def _fsuid() -> int:
    return int(_libc.syscall(ctypes.c_long(_calls["setfsuid"]), ctypes.c_long(-1)))


def _call(name: str, *arguments: "int | ctypes.Array[ctypes.c_uint32] | None") -> None:
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    answer = _libc.syscall(ctypes.c_long(_calls[name]), *values)
    if answer < 0 and not name.startswith("setfs"):  # these two answer who it was before
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

"""The kernel's calls that Python 3.10 has no name for, by ctypes, so that nothing need be installed.

Loaded before any namespace is entered: after ``pivot_root`` nothing can be imported.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_RDONLY = 0x1
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2

ATTR_RDONLY = 0x1
ATTR_NOSUID = 0x2
ATTR_NODEV = 0x4

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NAME = 15
PR_CAPBSET_DROP = 24
PR_SET_SECCOMP = 22

_NOBODY = 65534
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 0x4

# The newer calls have the same number everywhere; these two do not.
_NUMBERS = {"x86_64": {"clone": 56, "pivot_root": 155}, "aarch64": {"clone": 220, "pivot_root": 41}}
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442

MACHINE = platform.machine()
SUPPORTED = MACHINE in _NUMBERS
_numbers = _NUMBERS.get(MACHINE, _NUMBERS["x86_64"])

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
# PyDLL keeps the GIL: a child must not find it in the middle of changing hands.
_libc_with_gil = ctypes.PyDLL(None, use_errno=True)
_libc_with_gil.syscall.restype = ctypes.c_long


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def clone(flags: int) -> int:
    """Fork, the child being the first in its new namespaces: ``os.fork`` and ``unshare`` would need a process between.

    Only for a process with one thread and nothing registered to run after a fork.
    """
    arguments = [ctypes.c_long(value) for value in (_numbers["clone"], flags | signal.SIGCHLD, 0, 0, 0, 0)]
    return _checked(_libc_with_gil.syscall(*arguments), "clone")


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare")


def setns(descriptor: int, flags: int) -> None:
    _checked(_libc.setns(descriptor, flags), "setns")


def join_network(pid: int) -> None:
    """Become a part of the network that ``pid`` is in, and of its user namespace where that is another."""
    own_user, their_user = "/proc/self/ns/user", f"/proc/{pid}/ns/user"
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if not os.path.samefile(own_user, their_user):  # noqa: PTH121
        user = os.open(their_user, os.O_RDONLY | os.O_CLOEXEC)
        setns(user, CLONE_NEWUSER)
        os.close(user)
    setns(network, CLONE_NEWNET)
    os.close(network)


def set_host_name(name: str) -> None:
    encoded = os.fsencode(name)
    _checked(_libc.sethostname(encoded, len(encoded)), "sethostname")


def prctl(option: int, *arguments: int) -> int:
    values = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_libc.prctl(option, *values), "prctl")


def die_with_parent() -> None:
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def hide_memory() -> None:
    """From every process without CAP_SYS_PTRACE, until this one executes a program."""
    prctl(PR_SET_DUMPABLE, 0)


def set_process_name(name: bytes) -> None:
    """At most 15 bytes of it, as ``ps`` and ``pkill`` know this process."""
    text = ctypes.create_string_buffer(name)
    prctl(PR_SET_NAME, ctypes.addressof(text))


def set_command_line(line: bytes) -> None:
    """As ``ps`` shows it, instead of the arguments that this process was started with: as much as they had room."""
    # Behind the name in brackets, which may hold anything, as proc(5) counts: arg_start is 48, arg_end 49.
    with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
        words = file.read().rpartition(b")")[2].split()
    start, end = int(words[45]), int(words[46])
    ctypes.memmove(start, line[: end - start - 1].ljust(end - start, b"\0"), end - start)


def mount(kind: str, target: str, flags: int = 0, options: str = "") -> None:
    """Mount a new file system of that kind; with a kind of "" change an existing mount's propagation."""
    encoded = [os.fsencode(text) for text in (kind or "none", target, kind, options)]
    result = _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3] or None)
    _checked(result, f"mount {kind} at {target}")


@contextmanager
def as_nobody() -> Iterator[None]:
    """What is opened, or mounted, meanwhile is so with the rights of the user ``nobody``. For root, and one thread.

    To change the user of file systems takes those capabilities away that reach past modes, and no others
    (capabilities(7), "Effect of user ID changes").
    """
    groups = os.getgroups()
    os.setgroups([])
    _libc.setfsgid(_NOBODY)
    _libc.setfsuid(_NOBODY)
    try:
        if _libc.setfsuid(-1) != _NOBODY:  # it fails without a word; -1 is nobody at all, and tells who it is
            raise PermissionError(errno.EPERM, "setfsuid: " + os.strerror(errno.EPERM))
        yield
    finally:
        _libc.setfsuid(os.geteuid())
        _libc.setfsgid(os.getegid())
        os.setgroups(groups)
        die_with_parent()  # a change of user has taken it back


def detach(target: str) -> None:
    _checked(_libc.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    _checked(_libc.syscall(_numbers["pivot_root"], os.fsencode(new), os.fsencode(old)), "pivot_root")


def copy_mount(source: str, attributes: int = 0) -> int:
    """A detached copy of what is mounted at ``source`` and below it, to be attached elsewhere: its descriptor."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    descriptor = _checked(
        _libc.syscall(_OPEN_TREE, _AT_FDCWD, os.fsencode(source), ctypes.c_uint(flags)), f"open_tree {source}"
    )
    if attributes:
        set_mount_attributes("", attributes, descriptor=descriptor)
    return descriptor


def set_mount_attributes(target: str, attributes: int, *, descriptor: int = _AT_FDCWD, recursive: bool = True) -> None:
    wanted = _MountAttributes(set=attributes)
    flags = (_AT_EMPTY_PATH if not target else 0) | (_AT_RECURSIVE if recursive else 0)
    result = _libc.syscall(
        _MOUNT_SETATTR,
        descriptor,
        os.fsencode(target),
        ctypes.c_uint(flags),
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )
    _checked(result, f"mount_setattr {target}")


def attach_mount(descriptor: int, target: str) -> None:
    result = _libc.syscall(
        _MOVE_MOUNT, descriptor, b"", _AT_FDCWD, os.fsencode(target), ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    )
    _checked(result, f"move_mount to {target}")
    os.close(descriptor)


def drop_capabilities(kept: int) -> None:
    """Keep only the capabilities in the mask ``kept``, here and in whatever this process executes."""
    number = 0
    while True:
        if not kept >> number & 1:
            try:
                prctl(PR_CAPBSET_DROP, number)
            except OSError as error:
                if error.errno == errno.EINVAL:  # beyond the last one that this kernel knows
                    break
                raise
        number += 1
    header = _CapabilityHeader(version=0x20080522, pid=0)
    sets = (_CapabilitySets * 2)()
    sets[0].effective = sets[0].permitted = kept & 0xFFFFFFFF
    sets[1].effective = sets[1].permitted = kept >> 32
    _checked(_libc.capset(ctypes.byref(header), ctypes.byref(sets)), "capset")


def install_filter(program: bytes) -> None:
    """Install a seccomp filter (an array of ``struct sock_filter``)."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    described = Program(length=len(program) // 8, filter=program)
    mode_filter = 2
    result = _libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(mode_filter), ctypes.byref(described), 0, 0)
    _checked(result, "seccomp")

"""The seccomp filters of a container, as the kernel's classic BPF."""

from __future__ import annotations

import errno
import struct

from pytest_fargate_sandbox.local.runners.namespaces import linux

# Namespaces of one's own would give all capabilities back, key rings belong to no namespace, the rest is the part of
# the kernel that unprivileged exploits come through. The same numbers on every machine from 424 on.
_EVERYWHERE = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
}  # fmt: skip
_REFUSED = {
    "x86_64": _EVERYWHERE | {
        "syslog": 103, "pivot_root": 155, "acct": 163, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168,
        "reboot": 169, "iopl": 172, "ioperm": 173, "init_module": 175, "delete_module": 176, "kexec_load": 246,
        "add_key": 248, "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298,
        "open_by_handle_at": 304, "setns": 308, "finit_module": 313, "kexec_file_load": 320,
        "bpf": 321, "userfaultfd": 323,
    },
    "aarch64": _EVERYWHERE | {
        "umount2": 39, "mount": 40, "pivot_root": 41, "acct": 89, "unshare": 97, "kexec_load": 104, "init_module": 105,
        "delete_module": 106, "syslog": 116, "reboot": 142, "add_key": 217, "request_key": 218, "keyctl": 219,
        "swapon": 224, "swapoff": 225, "perf_event_open": 241, "open_by_handle_at": 265, "setns": 268,
        "finit_module": 273, "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294,
    },
}  # fmt: skip
# Where root is the only user there is, nothing can be given to another. Programs that insist on it (sshd, tar, dpkg)
# are told that it was done; who wants to *be* another user (set*id) hears the truth.
_FUTILE_OF_A_SINGLE_USER = {
    "x86_64": (92, 93, 94, 116, 260),  # chown, fchown, lchown, setgroups, fchownat
    "aarch64": (54, 55, 159),  # fchownat, fchown, setgroups
}
_WITHOUT_ERROR = 0
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_NUMBERS = 0x40000000
_NAMESPACE_FLAGS = (
    linux.CLONE_NEWNS | linux.CLONE_NEWCGROUP | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUSER | linux.CLONE_NEWPID | linux.CLONE_NEWNET
)  # fmt: skip

# Offsets in struct seccomp_data, and the few instructions of classic BPF that are needed.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _refuse(error: int) -> bytes:
    return _instruction(_RETURN, _ERRNO | error)


def _filter_for(machine: str, *, single_user: bool) -> bytes:
    program = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_IF_EQUAL, _AUDIT_ARCHITECTURE[machine], 1, 0),
        _refuse(errno.EPERM),
        _instruction(_LOAD, _NUMBER),
        _instruction(_IF_AT_LEAST, _X32_NUMBERS, 0, 1),
        _refuse(errno.EPERM),
        # Its flags are out of a filter's sight; without it libc falls back on clone.
        _instruction(_IF_EQUAL, _CLONE3, 0, 1),
        _refuse(errno.ENOSYS),
    ]
    for number in _REFUSED[machine].values():
        program += [_instruction(_IF_EQUAL, number, 0, 1), _refuse(errno.EPERM)]
    for number in _FUTILE_OF_A_SINGLE_USER[machine] if single_user else ():
        program += [_instruction(_IF_EQUAL, number, 0, 1), _refuse(_WITHOUT_ERROR)]
    program += [
        _instruction(_IF_EQUAL, _CLONE[machine], 0, 3),
        _instruction(_LOAD, _FIRST_ARGUMENT),
        _instruction(_IF_ANY_BIT, _NAMESPACE_FLAGS, 0, 1),
        _refuse(errno.EPERM),
        _instruction(_RETURN, _ALLOW),
    ]
    return b"".join(program)


FILTER = _filter_for(linux.MACHINE, single_user=False) if linux.SUPPORTED else b""
FILTER_OF_A_SINGLE_USER = _filter_for(linux.MACHINE, single_user=True) if linux.SUPPORTED else b""

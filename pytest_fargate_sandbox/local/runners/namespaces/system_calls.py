"""The seccomp filters of a container, as the kernel's classic BPF.

They refuse what Docker's default profile refuses a container with our capabilities (moby/profiles,
seccomp/default.json): there it is a list of what is allowed, here of the rest.
"""

from __future__ import annotations

import errno
import struct

from pytest_fargate_sandbox.local.runners.namespaces import linux

# Namespaces of one's own would give all capabilities back, key rings and the clock belong to no namespace, the rest is
# the part of the kernel that unprivileged exploits come through. The same numbers on every machine from 424 on.
_EVERYWHERE = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_getfd": 438, "process_madvise": 440,
    "mount_setattr": 442, "quotactl_fd": 443, "set_mempolicy_home_node": 450, "lsm_get_self_attr": 459,
    "lsm_set_self_attr": 460, "lsm_list_modules": 461,
}  # fmt: skip
_REFUSED = {
    "x86_64": _EVERYWHERE | {
        "syslog": 103, "uselib": 134, "ustat": 136, "sysfs": 139, "vhangup": 153, "pivot_root": 155, "_sysctl": 156,
        "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169,
        "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "create_module": 174, "init_module": 175,
        "delete_module": 176, "get_kernel_syms": 177, "query_module": 178, "quotactl": 179, "nfsservctl": 180,
        "lookup_dcookie": 212, "clock_settime": 227, "mbind": 237, "set_mempolicy": 238, "get_mempolicy": 239,
        "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "migrate_pages": 256, "unshare": 272,
        "move_pages": 279, "perf_event_open": 298, "fanotify_init": 300, "open_by_handle_at": 304, "setns": 308,
        "kcmp": 312, "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "userfaultfd": 323,
    },
    "aarch64": _EVERYWHERE | {
        "lookup_dcookie": 18, "umount2": 39, "mount": 40, "pivot_root": 41, "nfsservctl": 42, "vhangup": 58,
        "quotactl": 60, "acct": 89, "unshare": 97, "kexec_load": 104, "init_module": 105, "delete_module": 106,
        "clock_settime": 112, "syslog": 116, "reboot": 142, "sethostname": 161, "setdomainname": 162,
        "settimeofday": 170, "add_key": 217, "request_key": 218, "keyctl": 219, "swapon": 224, "swapoff": 225,
        "mbind": 235, "get_mempolicy": 236, "set_mempolicy": 237, "migrate_pages": 238, "move_pages": 239,
        "perf_event_open": 241, "fanotify_init": 262, "open_by_handle_at": 265, "setns": 268,
        "kcmp": 272, "finit_module": 273, "bpf": 280, "userfaultfd": 282, "kexec_file_load": 294,
    },
}  # fmt: skip
_LAST_KNOWN = 466
"""The highest number in Docker's list. What came later is not there, as runc says it: programs try another way then."""
# Whoever has a socket of these speaks with no network of the task's: AF_VSOCK with the hypervisor, AF_ALG with the
# kernel's ciphers. The others are protocols that nobody has looked at for years.
REFUSED_FAMILIES = {
    "AF_DECnet": 12, "AF_ECONET": 19, "AF_ATMSVC": 20, "AF_IRDA": 23, "AF_WANPIPE": 25, "AF_IUCV": 34, "AF_CAIF": 37,
    "AF_ALG": 38, "AF_VSOCK": 40,
}  # fmt: skip
FIRST_UNKNOWN_FAMILY = 46
NETLINK, NETLINK_AUDIT = 16, 9
"""The audit log is the host's, whoever writes there. Docker's containers may; podman's hear EINVAL: there is none."""
_ALLOWED_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux, and 32 bits of it, each with the old name of the kernel or without; and the question which one it is."""
# Where root is the only user there is, nothing can be given to another. Programs that insist on it (sshd, tar, dpkg)
# are told that it was done; who wants to *be* another user (set*id) hears the truth.
_FUTILE_OF_A_SINGLE_USER = {
    "x86_64": (92, 93, 94, 116, 260),  # chown, fchown, lchown, setgroups, fchownat
    "aarch64": (54, 55, 159),  # fchownat, fchown, setgroups
}
_WITHOUT_ERROR = 0
_CLONE = {"x86_64": 56, "aarch64": 220}
_SOCKET = {"x86_64": 41, "aarch64": 198}
_PERSONALITY = {"x86_64": 135, "aarch64": 92}
_CLONE3 = 435
_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_NUMBERS = 0x40000000
NAMESPACE_FLAGS = (
    linux.CLONE_NEWNS | linux.CLONE_NEWCGROUP | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUSER | linux.CLONE_NEWPID | linux.CLONE_NEWNET
)  # fmt: skip

# Offsets in struct seccomp_data, and the few instructions of classic BPF that are needed.
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _THIRD_ARGUMENT = 0, 4, 16, 32
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _refuse(error: int) -> bytes:
    return _instruction(_RETURN, _ERRNO | error)


def _where(code: int, value: int, answer: bytes) -> list[bytes]:
    """The answer where the loaded number is so, else the next instruction."""
    return [_instruction(code, value, 0, 1), answer]


def _look_into(call: int, checks: list[bytes]) -> list[bytes]:
    """``checks`` on the first argument of that call, to their end, where all else is answered already."""
    return [_instruction(_IF_EQUAL, call, 0, len(checks) + 1), _instruction(_LOAD, _FIRST_ARGUMENT), *checks]


def _filter_for(machine: str, *, single_user: bool) -> bytes:
    refused, allowed, unknown = _refuse(errno.EPERM), _instruction(_RETURN, _ALLOW), _refuse(errno.ENOSYS)
    program = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_IF_EQUAL, _AUDIT_ARCHITECTURE[machine], 1, 0),
        refused,
        _instruction(_LOAD, _NUMBER),
        *_where(_IF_AT_LEAST, _X32_NUMBERS, refused),
        *_where(_IF_AT_LEAST, _LAST_KNOWN + 1, unknown),
        # Its flags are out of a filter's sight; without it libc falls back on clone.
        *_where(_IF_EQUAL, _CLONE3, unknown),
    ]
    for number in _REFUSED[machine].values():
        program += _where(_IF_EQUAL, number, refused)
    for number in _FUTILE_OF_A_SINGLE_USER[machine] if single_user else ():
        program += _where(_IF_EQUAL, number, _refuse(_WITHOUT_ERROR))
    flags = _where(_IF_ANY_BIT, NAMESPACE_FLAGS, refused)
    families = [part for family in REFUSED_FAMILIES.values() for part in _where(_IF_EQUAL, family, refused)]
    families += _where(_IF_AT_LEAST, FIRST_UNKNOWN_FAMILY, refused)
    audit = [
        _instruction(_LOAD, _THIRD_ARGUMENT),
        *_where(_IF_EQUAL, NETLINK_AUDIT, _refuse(errno.EINVAL)),
    ]
    families += [_instruction(_IF_EQUAL, NETLINK, 0, len(audit)), *audit]
    persons = [part for person in _ALLOWED_PERSONALITIES for part in _where(_IF_EQUAL, person, allowed)]
    program += _look_into(_CLONE[machine], [*flags, allowed])
    program += _look_into(_SOCKET[machine], [*families, allowed])
    program += _look_into(_PERSONALITY[machine], [*persons, refused])
    return b"".join([*program, allowed])


REFUSED = frozenset(_REFUSED.get(linux.MACHINE, _EVERYWHERE))
"""By name."""
FILTER = _filter_for(linux.MACHINE, single_user=False) if linux.SUPPORTED else b""
FILTER_OF_A_SINGLE_USER = _filter_for(linux.MACHINE, single_user=True) if linux.SUPPORTED else b""

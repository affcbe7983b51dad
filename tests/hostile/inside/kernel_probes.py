"""The kernel that the sandbox shares with its host."""

from __future__ import annotations

import ctypes
import errno
import glob
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

from probing import contents, heard, in_a_child, libc, probe, reached, system_call

if TYPE_CHECKING:
    from collections.abc import Callable

_NEW_USER, _NEW_NS, _NEW_NET = 0x10000000, 0x20000, 0x40000000
_OF_DOCKER = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}


def _families(*families: int) -> dict[str, Callable[[], Any]]:
    return {
        f"family {family}, {kind}": (lambda family=family, kind=kind: system_call(41, 198, family, kind, 0) >= 0)
        for family in families
        for kind in (1, 2, 3, 5)
    }


@probe
def new_rights(_: dict[str, Any]) -> list[str]:
    """Mounts, namespaces, modules, and what else takes capabilities that a container has not, or gives them back."""
    room = ctypes.create_string_buffer(128)
    os.makedirs("/tmp/m", exist_ok=True)
    plain: dict[str, Callable[[], int]] = {
        "mount": lambda: libc.mount(b"none", b"/tmp/m", b"tmpfs", 0, None),
        "remount": lambda: libc.mount(b"none", b"/", None, 32, None),
        "umount": lambda: libc.umount2(b"/proc/sys", 2),
        "unshare user": lambda: libc.unshare(_NEW_USER),
        "unshare mount": lambda: libc.unshare(_NEW_NS),
        "unshare network": lambda: libc.unshare(_NEW_NET),
        "clone user": lambda: system_call(56, 220, _NEW_USER | 17, 0, 0, 0, 0),
        "setns": lambda: libc.setns(os.open("/proc/self/ns/net", os.O_RDONLY), 0),
        "handle": lambda: libc.open_by_handle_at(-100, ctypes.create_string_buffer(32), 0),
        "sethostname": lambda: libc.sethostname(b"x", 1),
        "reboot": lambda: libc.reboot(0),
        "module": lambda: system_call(313, 273, 0, b"", 0),
        "kexec": lambda: system_call(246, 104, 0, 0, 0, 0),
        "swap": lambda: system_call(167, 224, b"/tmp/m", 0),
        "accounting": lambda: system_call(163, 89, b"/tmp/m"),
    }
    numbers: dict[str, tuple[Any, ...]] = {
        "bpf": (321, 280, 0, 0, 0), "io_uring": (425, 425, 1, room), "userfaultfd": (323, 282, 1),
        "perf": (298, 241, room, 0, -1, -1, 0), "quotactl": (179, 60, 0, 0, 0, 0), "kcmp": (312, 272, 1, 1, 0, 0, 0),
        "fanotify": (300, 262, 0, 0), "mempolicy": (239, 236, 0, 0, 0, 0, 0), "personality": (135, 92, 0x0040000),
        "fsopen": (430, 430, b"tmpfs", 0), "mount_setattr": (442, 442, 0, 0, 0, 0, 0),
        "move_mount": (429, 429, -1, b"", -1, b"", 0), "open_tree": (428, 428, -100, b"/", 1),
        "pidfd_getfd": (438, 438, 0, 0, 0), "add_key": (248, 217, b"user", b"k", b"v", 1, -3),
        "request_key": (249, 218, b"user", b"k", 0, -3), "keyctl": (250, 219, 0, -3, 0),
    }  # fmt: skip
    ways = plain | {name: (lambda call=call: system_call(*call)) for name, call in numbers.items()}
    return reached({name: (lambda way=way: in_a_child(lambda: heard(way()))) for name, way in ways.items()})


@probe
def capabilities(_: dict[str, Any]) -> list[str]:
    lines = dict(
        line.split(":\t") for line in contents("/proc/self/status").decode().splitlines() if line.startswith("Cap")
    )
    more = [number for number in range(64) if int(lines["CapBnd"], 16) >> number & 1 and number not in _OF_DOCKER]
    return [f"capability {number}" for number in more] + [kind for kind in ("CapAmb", "CapInh") if int(lines[kind], 16)]


@probe
def strange_sockets(_: dict[str, Any]) -> list[str]:
    """AF_VSOCK leads to the hypervisor, AF_ALG into the kernel's ciphers; nobody needs the others."""
    return reached(_families(40, 38, 12, 19, 20, 23, 25, 34, 37, 46, 50))


@probe
def clock(_: dict[str, Any]) -> list[str]:
    """Moments that there are not: should the kernel look at them, no clock is set."""
    room = ctypes.create_string_buffer(struct.pack("qq", 0, -1))
    return reached({
        "settimeofday": lambda: heard(system_call(164, 170, room, 0)),
        "clock_settime": lambda: heard(system_call(227, 112, 0, room)),
        "adjtimex": lambda: heard(libc.adjtimex(ctypes.create_string_buffer(struct.pack("I", 1) + bytes(252)))),
    })  # fmt: skip


@probe
def kernel_log(_: dict[str, Any]) -> list[str]:
    def audit() -> bool:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as log:
            return bool(log)

    return reached({
        "syslog": lambda: heard(libc.klogctl(3, ctypes.create_string_buffer(4096), 4096)),
        "/dev/kmsg": lambda: os.open("/dev/kmsg", os.O_WRONLY) > 0,
        "/proc/kmsg": lambda: contents("/proc/kmsg"),
        "the audit log": audit,
    })  # fmt: skip


@probe
def kernel_switches(_: dict[str, Any]) -> list[str]:
    places = [
        "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/sys/vm/drop_caches", "/proc/sys/kernel/modprobe",
        "/sys/kernel/mm/ksm/run", "/sys/power/state", "/proc/irq/default_smp_affinity",
        "/proc/sys/fs/binfmt_misc/register",
    ]  # fmt: skip
    places += glob.glob("/sys/kernel/uevent_helper") + glob.glob("/sys/module/*/parameters/*")[:200]
    return reached({path: (lambda path=path: os.open(path, os.O_WRONLY) > 0) for path in places})


@probe
def kernel_records(_: dict[str, Any]) -> list[str]:
    """What of /proc only root of the host may read."""
    names = (
        "kcore",
        "kpageflags",
        "kpagecount",
        "kpagecgroup",
        "slabinfo",
        "vmallocinfo",
        "pagetypeinfo",
        "keys",
        "timer_list",
    )
    return reached({name: (lambda name=name: contents(f"/proc/{name}", 64)) for name in names})


@probe
def private_sysfs(_: dict[str, Any]) -> list[str]:
    paths = (
        glob.glob("/sys/kernel/slab/*/alloc_calls")[:5]
        + glob.glob("/sys/kernel/slab/*/order")[:1]
        + glob.glob("/sys/bus/pci/devices/*/resource0")[:5]
    )
    return reached(
        {
            path: (lambda path=path: not os.stat(path).st_mode & 0o004 and os.open(path, os.O_RDONLY) > 0)
            for path in paths
        }
    )


@probe
def machine_facts(told: dict[str, Any]) -> list[str]:
    facts = {"its load": "/proc/loadavg", "its memory": "/proc/meminfo", "its kernel's command line": "/proc/cmdline"}
    found = reached({name: (lambda path=path: contents(path, 64)) for name, path in facts.items()})
    mounts = contents("/proc/self/mountinfo").decode()
    return found + (["where the engine keeps its files"] if any(place in mounts for place in told["storage"]) else [])


@probe
def cgroups(_: dict[str, Any]) -> list[str]:
    """Of its own limits, and the old way out by ``release_agent``."""
    names = (
        "release_agent",
        "cgroup.procs",
        "memory.limit_in_bytes",
        "memory.max",
        "pids.max",
        "cpu.cfs_quota_us",
        "cpu.max",
        "notify_on_release",
        "devices.allow",
    )
    places = [path for name in names for path in glob.glob(f"/sys/fs/cgroup/**/{name}", recursive=True)]
    ways: dict[str, Callable[[], Any]] = {path: (lambda path=path: os.open(path, os.O_WRONLY) > 0) for path in places}
    os.makedirs("/tmp/cg", exist_ok=True)
    ways["mount"] = lambda: heard(libc.mount(b"cgroup", b"/tmp/cg", b"cgroup", 0, b"memory"))
    ways["mount 2"] = lambda: heard(libc.mount(b"cgroup2", b"/tmp/cg", b"cgroup2", 0, None))
    ways["a group of its own"] = lambda: (
        os.mkdir(f"{glob.glob('/sys/fs/cgroup/*/')[0]}mine") is None if glob.glob("/sys/fs/cgroup/*/") else False
    )
    return reached(ways)


@probe
def ping(_: dict[str, Any]) -> list[str]:
    def ask() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
            raw.settimeout(5)
            checksum = ~sum((8 << 8, 7, 1)) & 0xFFFF
            raw.sendto(struct.pack("!BBHHH", 8, 0, checksum, 7, 1), ("127.0.0.1", 0))
            return {raw.recv(100)[20], raw.recv(100)[20]} == {8, 0}  # the request comes round as well

    return reached({"an answer from itself": ask})


@probe
def plain_calls(_: dict[str, Any]) -> list[str]:
    """What Docker allows, and how a kernel says that it does not know a call: programs try another way then."""

    def persona(wanted: int) -> bool:
        return libc.personality(ctypes.c_ulong(wanted)) == 0

    kinds = ((16, socket.SOCK_RAW), (17, socket.SOCK_RAW), (1, 1), (10, 1))
    ways: dict[str, Callable[[], Any]] = {
        f"family {family}": (lambda family=family, kind=kind: socket.socket(family, kind)) for family, kind in kinds
    }
    ways["personality"] = lambda: persona(0xFFFFFFFF) and persona(0)
    ways["a call of tomorrow"] = lambda: system_call(566, 566, 0) == -1 and ctypes.get_errno() == errno.ENOSYS
    ways["memfd"] = lambda: os.memfd_create("x") > 2
    ways["pidfd"] = lambda: os.pidfd_open(os.getpid()) > 2
    found = reached(ways)
    return found if len(found) == len(ways) else []


@probe
def debugging(_: dict[str, Any]) -> list[str]:
    """A process of its own, as debuggers do it."""
    child = os.fork()
    if child == 0:
        libc.ptrace(0, 0, 0, 0)
        os.kill(os.getpid(), 19)
        os._exit(0)
    _, status = os.waitpid(child, os.WUNTRACED)
    found = reached({"registers and memory": lambda: os.WIFSTOPPED(status) and contents(f"/proc/{child}/maps")})
    os.kill(child, 9)
    return found

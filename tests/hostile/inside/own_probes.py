"""The sandbox's own server, its credentials and its limits."""

from __future__ import annotations

import ctypes
import errno
import glob
import hashlib
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

from probing import contents, heard, in_a_child, libc, probe, reached, system_call

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEIZE = 0x4206
"""Without a stop, which PTRACE_ATTACH would be the end of: the same right is asked for."""


@probe
def server_memory(told: dict[str, Any]) -> list[str]:
    pid = told["server_pid"]
    here = f"/proc/{pid}"
    vector = struct.pack("@PN", ctypes.addressof(ctypes.create_string_buffer(8)), 8)
    ways = {
        f"read {name}": (lambda name=name: contents(f"{here}/{name}", 64) or True)
        for name in ("mem", "maps", "environ", "auxv", "stack")
    }
    ways |= {
        f"follow {name}": (lambda name=name: os.stat(f"{here}/{name}"))
        for name in ("exe", "cwd", "root", "fd/0", "fd/1", "fd/2")
    }
    ways |= {
        f"open {name}": (lambda name=name: os.open(name, os.O_RDWR) > 0)
        for name in (f"{here}/mem", f"{here}/task/{pid}/mem")
    }
    ways["ptrace seize"] = lambda: heard(libc.ptrace(_SEIZE, pid, 0, 0))
    ways["process_vm_readv"] = lambda: heard(system_call(310, 270, pid, vector, 1, vector, 1, 0))
    ways["pidfd_getfd"] = lambda: heard(system_call(438, 438, os.pidfd_open(pid), 3, 0))
    return reached(ways)


@probe
def token(told: dict[str, Any]) -> Iterator[str]:
    """In whatever can be read of processes but ourselves, and of the files that were made for the sandbox."""
    secret = told["token"].encode()
    ours = {str(os.getpid()), str(os.getppid()), "self", "thread-self"}
    places = [
        path
        for path in glob.glob("/proc/[0-9]*/*")
        if path.split("/")[2] not in ours and path.endswith(("environ", "cmdline"))
    ]
    for top in ("/run", "/tmp", "/var/tmp", "/dev/shm"):
        places += [
            os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names if "inside" not in folder
        ]
    for path in places:
        try:
            if secret in contents(path):
                yield path
        except OSError:
            continue


@probe
def server_without_token(told: dict[str, Any]) -> list[str]:
    port, prefix = told["server_port"], told["prefix"]

    def ask(key: str) -> bool:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            head = f"POST {prefix}run HTTP/1.1\r\n{key}Content-Length: 31\r\n\r\n"
            connection.sendall(head.encode() + b'{"id": "x", "command": "true"}\n')
            return b" 401 " not in connection.recv(100)

    keys = {
        "nothing": "",
        "an empty one": "Authorization: Bearer \r\n",
        "what hashes alike": f"Authorization: Bearer {hashlib.sha256(told['token'].encode()).hexdigest()}\r\n",
    }
    return reached({name: (lambda key=key: ask(key)) for name, key in keys.items()})


@probe
def credentials(told: dict[str, Any]) -> Iterator[str]:
    """Of the engine, of its user's AWS account, or of a task role."""
    for name, value in os.environ.items():
        if name.startswith("AWS_") and ("KEY" in name or "TOKEN" in name or "CREDENTIALS" in name):
            yield f"${name}={value}"
    for address in ("169.254.170.2", "169.254.169.254", "fd00:ec2::254"):
        try:
            socket.create_connection((address, 80), 1).close()
            yield address
        except OSError:
            pass
    yield from reached(
        {path: (lambda path=path: os.stat(path)) for path in (*told["engine_places"], "/root/.aws", "/home/.aws")}
    )


@probe
def memory_limit(told: dict[str, Any]) -> list[str]:
    """More than the task's definition says."""
    size = (told["memory_mib"] + 64) << 20
    return ["more than its memory"] if in_a_child(lambda: bytearray(size)) else []


@probe
def disk_limit(told: dict[str, Any]) -> list[str]:
    seen = os.statvfs("/")
    size = seen.f_frsize * seen.f_blocks
    return ["all of the host's disk"] if size == told["disk_bytes"] else []


@probe
def own_devices(_: dict[str, Any]) -> list[str]:
    def full() -> bool:
        try:
            os.write(os.open("/dev/full", os.O_WRONLY), b"x")
        except OSError as error:
            return error.errno == errno.ENOSPC
        return False

    def score() -> bool:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("500")
        return b"500" in contents("/proc/self/oom_score_adj")

    ways = {
        "/dev/null": lambda: os.write(os.open("/dev/null", os.O_RDWR), b"x") == 1 and contents("/dev/null") == b"",
        "/dev/zero": lambda: contents("/dev/zero", 2) == bytes(2),
        "/dev/urandom": lambda: len(contents("/dev/urandom", 8)) == 8,
        "/dev/full": full,
        "/proc/self/oom_score_adj": score,
        "/proc/meminfo": lambda: b"MemTotal" in contents("/proc/meminfo"),
        "/proc/stat": lambda: b"cpu" in contents("/proc/stat"),
    }
    found = reached(ways)
    return found if len(found) == len(ways) else []

"""The namespaces of a task and of its containers, and the first steps of who finds himself in a task's."""

from __future__ import annotations

import fcntl
import os
import socket
import struct

from pytest_fargate_sandbox.local.runners.namespaces import linux

TASK_NAMESPACES = linux.CLONE_NEWPID | linux.CLONE_NEWNET
CONTAINER_NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC


def map_own_user(uid: int, gid: int) -> None:
    """Root inside is the user outside: the one mapping that takes no privilege."""
    for name, line in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123
            file.write(line)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def bring_loopback_up() -> None:
    set_flags, up_and_running = 0x8914, 0x1 | 0x40
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, set_flags, struct.pack("16sh14x", b"lo", up_and_running))

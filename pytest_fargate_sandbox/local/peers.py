"""Who is at the other end of a loopback connection.

Loopback is open to every user of the machine, and whoever reaches the engine runs commands as its user. The kernel
lists the owner of each socket, so a stranger is turned away without any password.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def is_own_user(connection: socket.socket) -> bool:
    """Whether root or this process's own user holds the peer's end of ``connection``."""
    return _owner(connection) in (0, os.getuid())


def _owner(connection: socket.socket) -> int | None:
    peer, own = _as_kernel_writes(connection.getpeername()), _as_kernel_writes(connection.getsockname())
    for table in _TABLES:
        try:
            lines = table.read_text().splitlines()
        except OSError:
            continue  # a kernel without IPv6
        for line in lines:
            fields = line.split()
            if fields[1].endswith(peer) and fields[2].endswith(own):
                return int(fields[7])
    return None


def _as_kernel_writes(address: tuple[str, int]) -> str:
    """``0100007F:1F90``; an IPv6 socket's mapped IPv4 address ends in the same characters."""
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"

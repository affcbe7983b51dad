"""Sockets on loopback, and those that a thread may be waiting in."""

from __future__ import annotations

import contextlib
import socket
from typing import NamedTuple

LOOPBACK = "127.0.0.1"
LOOPBACKS = tuple(f"127.0.0.{number}" for number in range(1, 10))
"""What ports may be opened at in a task: the same one for several names, each with an address of its own."""


class Listener(NamedTuple):
    """Where a port is opened."""

    address: str
    port: int


def wake(sock: socket.socket) -> None:
    """End the accept() or recv() that a thread blocks in; close() alone would leave it there. Never raises."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)

"""Sockets that a thread may be waiting in."""

from __future__ import annotations

import contextlib
import socket

LOOPBACK = "127.0.0.1"


def wake(sock: socket.socket) -> None:
    """End the accept() or recv() that a thread blocks in; close() alone would leave it there. Never raises."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)

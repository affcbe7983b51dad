"""Sockets on loopback, and those that a thread may be waiting in."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

LOOPBACK = "127.0.0.1"
LOOPBACKS = tuple(f"127.0.0.{number}" for number in range(1, 10))
"""What ports may be opened at in a task: the same one for several names, each with an address of its own."""

_LOOPBACK = re.compile(r"localhost|127\.[\d.]+|::1")


def is_loopback(host: str) -> bool:
    """Whether the name or address is this machine's to itself: no proxy leads there."""
    return _LOOPBACK.fullmatch(host) is not None


class Listener(NamedTuple):
    """Where a port is opened."""

    address: str
    port: int


_LONGEST_ADDRESS = 103
"""Bytes, of the platform that has the least: https://man7.org/linux/man-pages/man7/unix.7.html (sun_path)"""


@contextlib.contextmanager
def address_of(path: Path) -> Iterator[str]:
    """What a socket is bound or connected to for this path: by its directory, where it is too long and that can be."""
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS or not Path("/proc/self/fd").is_dir():
        yield str(path)
        return
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def with_last_words(receive: Callable[[], T]) -> T:
    """What ``receive`` gets of a local socket, also of an end that closed and had not read all itself.

    The kernel tells of that first, once, and then what was said before it: unix_release_sock and unix_dgram_recvmsg in
    https://github.com/torvalds/linux/blob/v6.1/net/unix/af_unix.c
    """
    try:
        return receive()
    except ConnectionResetError:
        return receive()


def wake(sock: socket.socket) -> None:
    """End the accept() or recv() that a thread blocks in; close() alone would leave it there. Never raises."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)

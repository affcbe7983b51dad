"""One connection carried between a local socket and a stream of the tunnel, and an end that tells the truth.

What one side has said to its end, the other hears to its end. What was broken off (by the tunnel, or by a reset) ends
with a reset, not with the end of a stream: whoever reads must not take a part for the whole.
"""

from __future__ import annotations

import select
import socket
import struct
from typing import TYPE_CHECKING, Protocol

from pytest_fargate_sandbox.leaves.errors import TransportError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

_CHUNK = 1 << 18
_LOOK_SECONDS = 1.0
"""Where the other side has ended its half, nobody reads the stream any more and would be told that it is gone."""
_SEND_LOOK_SECONDS = 0.25
_AT_ONCE = struct.pack("ii", 1, 0)


class RelayedStream(Protocol):
    """What is needed of a stream here; ``ChannelStream`` is one."""

    def recv(self, size: int, /) -> bytes: ...
    def sendall(self, data: bytes, /) -> None: ...
    def shutdown_write(self) -> None: ...
    @property
    def is_over(self) -> bool: ...
    def break_off(self) -> None: ...
    def close(self) -> None: ...


class Relay:
    """``run`` carries bytes both ways until both sides have ended, then closes both; ``break_off`` ends it at once."""

    def __init__(self, sock: socket.socket, stream: RelayedStream) -> None:
        self._socket = sock
        self._stream = stream
        self._broken = False

    def run(self, start: Callable[[Callable[[], None]], threading.Thread | None]) -> None:
        """``start`` makes a thread for the other way; None where none is to be had, and then all ends."""
        try:
            if other_way := start(self._inward):
                self._outward()
                while other_way.is_alive():
                    other_way.join(_LOOK_SECONDS)
                    if self._stream.is_over:
                        self.break_off()
            else:
                self.break_off()
        finally:
            self._stream.close()
            self._socket.close()

    def break_off(self) -> None:
        self._broken = True
        self._stream.break_off()
        break_off(self._socket)

    def _outward(self) -> None:
        while data := self._read(self._stream.recv):
            if not self._tell_socket(data):
                return  # it takes no more, and may still have something to say
        if not self._broken:
            _shut(self._socket, socket.SHUT_WR)

    def _inward(self) -> None:
        while data := self._read(self._socket.recv):
            if not self._tell_stream(self._stream.sendall, data):
                reset_when_closed(self._socket)  # what it said last did not arrive
                return
        if not self._broken:
            self._tell_stream(self._stream.shutdown_write)

    def _read(self, recv: Callable[[int], bytes]) -> bytes:
        """What comes next; nothing at the end, and nothing once this is broken off, as it is if reading fails."""
        try:
            data = recv(_CHUNK)
        except (OSError, TransportError):
            self.break_off()
            return b""
        return b"" if self._broken else data

    def _tell_stream(self, act: Callable[..., None], *data: bytes) -> bool:
        try:
            act(*data)
        except (OSError, TransportError):
            return False
        return True

    def _tell_socket(self, data: bytes) -> bool:
        """``sendall``, but a thread that waits for room sees that this is broken off: nothing else would wake it."""
        view = memoryview(data)
        try:
            while view:
                sent = _send_some(self._socket, view)
                if not sent and self._broken:
                    return False
                view = view[sent:]
        except OSError:
            return False
        return True


def break_off(sock: socket.socket) -> None:
    """Wake who reads from it, without an end that could be taken for a good one; closing it sends a reset."""
    reset_when_closed(sock)
    _shut(sock, socket.SHUT_RD)


def reset_when_closed(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    except OSError:
        pass  # it is closed


def _shut(sock: socket.socket, how: int) -> None:
    try:
        sock.shutdown(how)
    except OSError:
        pass  # it is gone


def _send_some(sock: socket.socket, data: memoryview) -> int:
    """How many bytes went; none if there was no room for a while."""
    try:
        return sock.send(data, socket.MSG_DONTWAIT)
    except BlockingIOError:
        poller = select.poll()
        poller.register(sock, select.POLLOUT)
        poller.poll(_SEND_LOOK_SECONDS * 1000)
        return 0

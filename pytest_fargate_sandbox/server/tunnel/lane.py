"""One stream of a tunnel: a socket here, whose other half is a socket at the other end."""

import socket
import struct

from pytest_fargate_sandbox.server.tunnel.records import Broken

WINDOW = 64 * 1024
"""How much of a new stream may be under way to an end that has not taken it: who sleeps holds up nobody else."""

_AT_ONCE = struct.pack("ii", 1, 0)


class Lane:
    def __init__(self, stream: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.stream = stream
        self.sock = sock
        self.is_open = False
        self.is_queued = False
        """Whether it has its place among those that are read next."""
        self.window = WINDOW
        """As much the other end is to have under way to us: what is above it is not given room for anew."""
        self.room = WINDOW
        """How much the other end still takes."""
        self.has_ended = False
        """Nothing more comes from our socket."""
        self._pending = bytearray()
        self._given = WINDOW
        """How much the other end may still send."""
        self._is_to_end = False
        self._was_ended = False

    @property
    def may_read(self) -> bool:
        return self.is_open and not self.has_ended and self.room > 0

    @property
    def has_pending(self) -> bool:
        return self.is_open and bool(self._pending or self._is_to_end > self._was_ended)

    @property
    def is_done(self) -> bool:
        """Both directions have come to their end."""
        return self.has_ended and self._was_ended

    def take(self, data: bytes) -> None:
        """From the other end, for the socket."""
        self._pending += data
        self._given -= len(data)
        if self._given < 0:
            raise Broken("more comes than there is room for")

    def take_end(self) -> None:
        self._is_to_end = True

    def write(self) -> None:
        """What the socket takes now, and the end behind it."""
        while self._pending:
            try:
                sent = self.sock.send(self._pending)
            except BlockingIOError:
                return
            del self._pending[:sent]
        if self._is_to_end:
            self._was_ended = True
            self.sock.shutdown(socket.SHUT_WR)

    def further_room(self) -> int:
        """How many more bytes the other end is to be told that it may send, if that is worth a word."""
        more = self.window - self._given - len(self._pending)
        if self._is_to_end or more < self.window // 4:
            return 0
        self._given += more
        return more

    def read(self, most: int) -> bytes:
        """Nothing at its end; raises ``BlockingIOError`` where nothing is there yet."""
        data = self.sock.recv(min(most, self.room))
        self.room -= len(data)
        self.has_ended = not data
        return data

    def reset(self) -> None:
        """Close it so that nobody takes what came for the whole."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        except OSError:
            pass
        self.sock.close()

"""One stream of a tunnel: a socket here, whose other half is a socket at the other end."""

import socket
import struct

from pytest_fargate_sandbox.server.tunnel.records import Broken

WINDOW = 64 * 1024
"""How much of one stream may be under way to an end that has not taken it: who sleeps holds up nobody else."""

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
        """As much the other end may have under way to us."""
        self.room = WINDOW
        """How much the other end still takes."""
        self.has_ended = False
        """Nothing more comes from our socket."""
        self._pending = bytearray()
        self._taken = 0
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
        if len(self._pending) + self._taken > self.window:
            raise Broken("more comes than there is room for")

    def take_end(self) -> None:
        self._is_to_end = True

    def write(self) -> int:
        """What the socket takes now, and the end behind it; how many bytes more there is room for, if worth telling."""
        while self._pending:
            try:
                sent = self.sock.send(self._pending)
            except BlockingIOError:
                break
            del self._pending[:sent]
            self._taken += sent
        if self._is_to_end:
            if not self._pending:
                self._was_ended = True
                self.sock.shutdown(socket.SHUT_WR)
            return 0
        if self._taken < WINDOW // 2:
            return 0
        taken, self._taken = self._taken, 0
        return taken

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

"""A connection of the agent's to a port of its task, as its loop sees it."""

from __future__ import annotations

import socket
from collections import deque
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.namespaces.event_loop import READABLE, WRITABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop


class WatchedConnection:
    """What is sent before it is open waits for that.

    ``read`` takes something from the socket and returns it: nothing at the server's end, None where it shall not be
    asked again until ``go_on_reading``. ``delivered`` is told how much of what was sent has left, or was dropped;
    ``ended`` is called once, when the connection is closed in both directions.
    """

    def __init__(
        self,
        loop: Loop,
        read: Callable[[socket.socket], bytes | None],
        delivered: Callable[[int], None],
        ended: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._read, self._delivered, self._ended = read, delivered, ended
        self._socket: socket.socket | None = None
        self._pending: deque[bytes] = deque()
        self._events = 0
        self._reads, self._is_ending, self._is_closed = True, False, False

    def open(self, connected: socket.socket) -> None:
        self._socket = connected
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._write()

    def send(self, data: bytes) -> None:
        if self._is_ending or self._is_closed:
            self._delivered(len(data))
            return
        self._pending.append(data)
        if self._socket is not None and len(self._pending) == 1:
            self._write()

    def end(self) -> None:
        """When all that was sent has gone."""
        self._is_ending = True
        if self._socket is not None and not self._pending:
            self.close()

    def go_on_reading(self) -> None:
        self._reads = True
        self._watch()

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._watch()
        if self._socket is not None:
            self._socket.close()
        self._delivered(sum(map(len, self._pending)))
        self._pending.clear()
        self._ended()

    def _ready(self) -> None:
        if self._pending:
            self._write()
        if self._reads and not self._is_closed:
            self._receive()

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            data = self._read(self._socket)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data is None:
            self._reads = False
            self._watch()
        elif not data:
            self.close()

    def _write(self) -> None:
        assert self._socket is not None
        while self._pending:
            data = self._pending[0]
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                break
            except OSError:
                self.close()
                return
            self._delivered(sent)
            if sent < len(data):
                self._pending[0] = data[sent:]
                break
            self._pending.popleft()
        if self._is_ending and not self._pending:
            self.close()
        else:
            self._watch()

    def _watch(self) -> None:
        events = 0 if self._is_closed else (READABLE * self._reads) | (WRITABLE * bool(self._pending))
        if events == self._events or self._socket is None:
            return
        if self._events:
            self._loop.forget(self._socket.fileno())
        if events:
            self._loop.watch(self._socket.fileno(), self._ready, events)
        self._events = events

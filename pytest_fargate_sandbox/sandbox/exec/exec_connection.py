"""Connections to the exec server: kept open, used again, one request at a time on each."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
import time
from typing import TYPE_CHECKING, Protocol

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.sockets import wake
from pytest_fargate_sandbox.server.requests.http1 import Disconnected, Reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer

    from pytest_fargate_sandbox.sandbox.exec.patience import Patience

_MAX_IDLE = 32
_PIECE = 256 * 1024
_PEER_HUNG_UP = getattr(select, "POLLRDHUP", 0)
"""Linux tells; where none does, a sender waits for the kernel's end of it."""


class Stream(Protocol):
    """What a connection is made of: a socket, or a channel of an SSH connection."""

    def sendall(self, data: bytes, /) -> object: ...

    def recv(self, size: int, /) -> bytes: ...

    def settimeout(self, seconds: float | None, /) -> object: ...

    def close(self) -> object: ...


class ExecConnection:
    """One stream; everything that can happen to it becomes ``Disconnected``, but for the end of our patience."""

    patience: Patience
    """With the answer that is waited for. Whoever uses the connection brings his own."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.reader = Reader(self._receive)

    def send(self, data: bytes) -> None:
        """Patience with it counts as patience with the answer."""
        wait = self.patience.next_wait(in_parts=False)
        began = time.monotonic()
        try:
            self._stream.settimeout(wait)
            self._stream.sendall(data)
        except TimeoutError as error:
            self.patience.timed_out(wait)
            raise Disconnected("the exec server takes nothing") from error
        except (OSError, TransportError) as error:
            raise Disconnected(str(error)) from error
        self.patience.spend(time.monotonic() - began, len(data))

    def _receive(self, size: int) -> bytes:
        while True:
            wait = self.patience.next_wait()
            began = time.monotonic()
            try:
                self._stream.settimeout(wait)
                data = self._stream.recv(min(size, _PIECE))
            except TimeoutError:
                self.patience.timed_out(wait)
            except (OSError, TransportError) as error:
                raise Disconnected(str(error)) from error
            else:
                self.patience.spend(time.monotonic() - began, len(data))
                return data

    def close(self) -> None:
        try:
            self._stream.close()
        except (OSError, TransportError):
            pass  # What is gone is closed.


class ConnectionPool:
    """Hands out a connection that nobody uses, the last used first, or makes one."""

    def __init__(self, connect: Callable[[float], Stream], connect_timeout: float) -> None:
        self._connect = connect
        self._connect_timeout = connect_timeout
        self._idle: list[ExecConnection] = []
        self._lock = threading.Lock()
        self._closed = False

    def take(self) -> ExecConnection:
        with self._lock:
            if self._closed:
                raise TransportError("the client of the exec server is closed")
            if self._idle:
                return self._idle.pop()
        return ExecConnection(self.connect())

    def connect(self) -> Stream:
        """A stream that is not of the pool."""
        try:
            return self._connect(self._connect_timeout)
        except OSError as error:
            if isinstance(error, TransportError):
                raise
            raise TransportError(f"cannot reach the exec server: {error}") from error

    def give_back(self, connection: ExecConnection) -> None:
        """For the next one. A connection on which something is still to come must be closed instead."""
        with self._lock:
            if not self._closed and len(self._idle) < _MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def drop_idle(self) -> None:
        """One of them had died, so the others of its age are not to be trusted."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self.drop_idle()


def loopback(port: int) -> Callable[[float], Stream]:
    """How to connect to a server on this machine, or to one behind a forwarded port."""

    def connect(timeout: float) -> Stream:
        stream = _LoopbackStream(socket.AF_INET, socket.SOCK_STREAM)
        try:
            stream.settimeout(timeout)
            stream.connect(("127.0.0.1", port))
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            stream.close()
            raise
        return stream

    return connect


class _LoopbackStream(socket.socket):
    """A socket whose ``close``, and whose peer's, is noticed by a thread that waits in it, as on an SSH channel."""

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Not to a peer that has hung up and takes nothing: its kernel would let us wait for a minute.

        tcp_fin_timeout, https://man7.org/linux/man-pages/man7/tcp.7.html
        """
        if not _PEER_HUNG_UP:
            super().sendall(data, flags)
            return
        timeout = self.gettimeout()
        deadline = None if timeout is None else time.monotonic() + timeout
        rest = memoryview(data)
        while rest:
            self._await_room(deadline)
            with contextlib.suppress(BlockingIOError):
                rest = rest[self.send(rest, flags | socket.MSG_DONTWAIT) :]

    def _await_room(self, deadline: float | None) -> None:
        poll = select.poll()
        try:
            poll.register(self, select.POLLOUT | _PEER_HUNG_UP)
        except ValueError:  # closed by another thread, it has no number any more
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        events = poll.poll(left)
        if not events:
            raise TimeoutError("timed out")
        if not events[0][1] & select.POLLOUT:
            raise ConnectionResetError("the exec server has hung up")

    def close(self) -> None:
        wake(self)
        super().close()

    def __del__(self) -> None:
        """A script that makes a client of a port alone knows of nothing that it should close."""
        super().close()

"""Connections carried between a local socket and a stream of the tunnel, and the listeners that take them in."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Protocol

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.sockets import wake
from pytest_fargate_sandbox.leaves.waiting import pauses

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 1 << 18
_JOIN_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
_LOOK_SECONDS = 1.0
"""Where the other side has ended its half, nobody reads the stream any more and would be told that it is gone."""


class RelayedStream(Protocol):
    """What is needed of a stream here; ``ChannelStream`` is one."""

    def recv(self, size: int, /) -> bytes: ...
    def sendall(self, data: bytes, /) -> None: ...
    def shutdown_write(self) -> None: ...
    @property
    def is_over(self) -> bool: ...
    def close(self) -> None: ...


class TunnelRelays:
    """All connections that one owner carries, two threads each, and an end to them all."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._open: set[socket.socket | RelayedStream] = set()
        self._closed = False

    def carry(self, sock: socket.socket, stream: RelayedStream) -> None:
        """Carry bytes both ways until both sides have ended, then close both. Returns at once."""

        def inward() -> None:
            _copy(sock.recv, stream.sendall, stream.shutdown_write, sock, stream)

        def both_ways() -> None:
            try:
                if other_way := self.run(inward):
                    _copy(stream.recv, sock.sendall, lambda: sock.shutdown(socket.SHUT_WR), sock, stream)
                    while other_way.is_alive():
                        other_way.join(_LOOK_SECONDS)
                        if stream.is_over:
                            _wake(sock)
            finally:
                self._drop(sock, stream)

        self._run_with(both_ways, sock, stream)

    def connect(self, address: tuple[str, int], stream: RelayedStream) -> None:
        """Connect to ``address``, then carry; a stream that leads nowhere is closed. Returns at once."""

        def connect_then_carry() -> None:
            try:
                sock = socket.create_connection(address, timeout=_CONNECT_SECONDS)
                sock.settimeout(None)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                self._drop(stream)
            else:
                self.carry(sock, stream)

        self._run_with(connect_then_carry, stream)

    def carry_to(self, sock: socket.socket, open_stream: Callable[[], RelayedStream]) -> None:
        """Open a stream for ``sock``, then carry; a socket that leads nowhere is closed. Returns at once."""

        def open_then_carry() -> None:
            try:
                stream = open_stream()
            except TransportError:
                self._drop(sock)
            else:
                self.carry(sock, stream)

        self._run_with(open_then_carry, sock)

    def close(self) -> None:
        """End every connection and wait for the threads."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
            _wake(*self._open)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_SECONDS)

    def _run_with(self, work: Callable[[], None], *ends: socket.socket | RelayedStream) -> None:
        """``work`` closes these ends; where it cannot begin, they are closed here."""
        with self._lock:
            self._open.update(ends)
        if not self.run(work):
            self._drop(*ends)

    def _drop(self, *ends: socket.socket | RelayedStream) -> None:
        with self._lock:
            self._open.difference_update(ends)
        for each in ends:
            each.close()

    def run(self, work: Callable[[], None]) -> threading.Thread | None:
        """A thread that ``close`` waits for; None where it cannot begin: this is closed, or no thread is to be had."""

        def run() -> None:
            try:
                work()
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=run, name=self.name, daemon=True)
        with self._lock:
            if self._closed:
                return None
            try:
                thread.start()
            except RuntimeError:
                return None
            self._threads.add(thread)
        return thread


class LocalListener:
    """A listening socket; each connection is handed to ``on_connection`` in this listener's one thread."""

    def __init__(self, sock: socket.socket, on_connection: Callable[[socket.socket], None], name: str) -> None:
        self._socket = sock
        self._on_connection = on_connection
        self._closed = threading.Event()
        self.port: int = sock.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        wake(self._socket)
        self._thread.join(_JOIN_SECONDS)
        self._socket.close()

    def _accept(self) -> None:
        breath = pauses(0.01, 0.5)
        while not self._closed.is_set():
            try:
                sock, _ = self._socket.accept()
            except OSError:
                # The client is gone already, or we are out of descriptors for the moment.
                self._closed.wait(next(breath))
                continue
            breath = pauses(0.01, 0.5)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._on_connection(sock)


def _copy(
    read: Callable[[int], bytes],
    write: Callable[[bytes], None],
    end: Callable[[], None],
    *ends: socket.socket | RelayedStream,
) -> None:
    """Until there is nothing more to read. If that fails, for whatever reason, both ``ends`` hear of it."""
    went_well = False
    try:
        while data := read(_CHUNK):
            write(data)
        end()
        went_well = True
    except (OSError, TransportError):
        pass
    finally:
        if not went_well:
            _wake(*ends)


def _wake(*ends: socket.socket | RelayedStream) -> None:
    """End them for whoever waits on them. A socket is closed later, by its owner: its number must not be reused yet."""
    for each in ends:
        if isinstance(each, socket.socket):
            wake(each)
        else:
            each.close()

"""All connections that one owner carries: a bounded number, two threads each, and an end to them all."""

from __future__ import annotations

import logging
import resource
import socket
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Protocol

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.providers.ssh.relay import Relay, RelayedStream, break_off, reset_when_closed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOST = 512
_JOIN_SECONDS = 5.0
_CONNECT_SECONDS = 10.0

_log = logging.getLogger(__name__)


class Caller(Protocol):
    """Who wants to come through from the other side; ``Knock`` is one."""

    def let_in(self) -> RelayedStream: ...
    def refuse(self) -> None: ...


def most_connections() -> int:
    """For one owner at once. Strangers open them, and are to leave descriptors and threads for everything else."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if descriptors == resource.RLIM_INFINITY else min(_MOST, descriptors // 4)


class TunnelRelays:
    """Beyond ``most_connections`` at once further ones are refused, as by a port where nobody listens."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._most = most_connections()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._count = 0
        self._under_way: set[Callable[[], None]] = set()
        """For each connection what breaks it off."""
        self._closed = False
        self._has_complained = False

    def connect(self, address: tuple[str, int], caller: Caller) -> None:
        """Connect to ``address``, let ``caller`` in, and carry; refuse him if nobody answers. Returns at once."""

        def connect_then_carry() -> None:
            try:
                sock = self._connected(address)
            except (OSError, OverflowError):  # a port beyond all ports
                caller.refuse()
                return
            self._carry(sock, caller.let_in)

        self._run_counted(connect_then_carry, caller.refuse)

    def carry_to(self, sock: socket.socket, open_stream: Callable[[], RelayedStream]) -> None:
        """Open a stream for ``sock``, then carry; a socket that leads nowhere is reset. Returns at once."""
        self._run_counted(lambda: self._carry(sock, open_stream), partial(_reset, sock))

    def close(self) -> None:
        """Break off every connection and wait for the threads."""
        with self._lock:
            self._closed = True
            threads, under_way = list(self._threads), list(self._under_way)
        for break_one_off in under_way:
            break_one_off()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_SECONDS)

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

    def _run_counted(self, work: Callable[[], None], refuse: Callable[[], None]) -> None:
        with self._lock:
            has_room = self._count < self._most
            self._count += has_room
            complains, self._has_complained = not (has_room or self._has_complained), not has_room
        if complains:
            _log.warning("%s carries %d connections: further ones are refused for now", self.name, self._most)

        def run() -> None:
            try:
                work()
            finally:
                with self._lock:
                    self._count -= 1

        if not has_room:
            refuse()
        elif not self.run(run):
            with self._lock:
                self._count -= 1
            refuse()

    def _carry(self, sock: socket.socket, open_stream: Callable[[], RelayedStream]) -> None:
        try:
            stream = open_stream()
        except TransportError:
            _reset(sock)
            return
        relay = Relay(sock, stream)
        with self._breakable(relay.break_off):
            relay.run(self.run)

    def _connected(self, address: tuple[str, int]) -> socket.socket:
        host, port = address
        problem: OSError | None = None
        for family, kind, protocol, _, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                with self._breakable(partial(break_off, sock)):
                    sock.settimeout(_CONNECT_SECONDS)
                    sock.connect(where)
                sock.settimeout(None)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                problem = error
                sock.close()
            else:
                return sock
        raise problem or OSError(f"{host} has no address")

    @contextmanager
    def _breakable(self, break_one_off: Callable[[], None]) -> Iterator[None]:
        """While this lasts, ``close`` breaks it off; at once if this is closed."""
        with self._lock:
            self._under_way.add(break_one_off)
            closed = self._closed
        if closed:
            break_one_off()
        try:
            yield
        finally:
            with self._lock:
                self._under_way.discard(break_one_off)


def _reset(sock: socket.socket) -> None:
    reset_when_closed(sock)
    sock.close()

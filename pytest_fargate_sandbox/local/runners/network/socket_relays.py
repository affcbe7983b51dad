"""Bytes between a socket outside a task's network and one inside, moved by the kernel (``os.splice``)."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import socket
import struct
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.namespaces.event_loop import EDGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop

_MOST = 250
_FOR_EACH = 6
"""So many descriptors a connection takes: two sockets, and the ends of two pipes."""
_FOR_THE_REST = 200
"""Ports, containers, and whoever is on his way in: what has none left for them ends the task."""
_PIPE_SIZE = 1 << 18
_ROUNDS = 32
"""How long one connection may keep the others waiting, in fillings of its pipe."""


class SocketRelays:
    """Those of one task: a bounded number, since what runs in it may open as many connections as it likes."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._open: set[_Relay] = set()
        self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = max(1, min(_MOST, (descriptors - _FOR_THE_REST) // _FOR_EACH))

    def accept(self, listener: socket.socket) -> socket.socket | None:
        """Whoever connects next; None where he has gone again, or there are too many."""
        try:
            client, _ = listener.accept()
        except OSError as error:
            if error.errno == errno.EMFILE:
                self._turn_away(listener)
            return None
        if len(self._open) >= self._most:
            refuse(client)
            return None
        return client

    def carry(self, one: socket.socket, other: socket.socket, on_end: Callable[[], None] = lambda: None) -> None:
        def ended(relay: _Relay) -> None:
            self._open.discard(relay)
            on_end()

        try:
            self._open.add(_Relay(self._loop, one, other, ended))
        except OSError:  # out of descriptors
            refuse(one)
            other.close()
            on_end()

    def _turn_away(self, listener: socket.socket) -> None:
        """Out of descriptors: use the spare one, or the listener would stay ready and we would turn in circles."""
        os.close(self._spare)
        try:
            refuse(listener.accept()[0])
        except OSError:
            pass
        self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


def refuse(client: socket.socket) -> None:
    """Close with a reset, as a port does behind which nobody listens."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class _Relay:
    """Two connected sockets, each fed with what the other receives, until both have ended."""

    def __init__(self, loop: Loop, one: socket.socket, other: socket.socket, on_end: Callable[[_Relay], None]) -> None:
        self._loop = loop
        self._ends = (one, other)
        self._on_end = on_end
        self._open = True
        for end in self._ends:
            end.setblocking(False)
            _send_at_once(end)
        there = _Flow(one, other)
        try:
            self._flows = (there, _Flow(other, one))
        except OSError:
            there.close()
            raise
        for end in self._ends:
            loop.watch(end.fileno(), self._pump, EDGES)

    def _pump(self) -> None:
        if not self._open:
            return
        try:
            unfinished = [flow.move() for flow in self._flows]
        except OSError:
            self._close()
            return
        if all(flow.ended for flow in self._flows):
            self._close()
        elif any(unfinished):
            self._loop.call_later(0, self._pump)

    def _close(self) -> None:
        self._open = False
        self._on_end(self)
        for end in self._ends:
            self._loop.forget(end.fileno())
            end.close()
        for flow in self._flows:
            flow.close()


class _Flow:
    """One direction, through a pipe of its own."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self._source, self._target = source, target
        self._out, self._into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._capacity = _grow(self._into)
        self._held = 0
        self._source_ended = False
        self.ended = False

    def move(self) -> bool:
        """Move until a side would block; True where there may be more to move at once."""
        return all(not self.ended and self._drain() and self._fill() for _ in range(_ROUNDS))

    def _drain(self) -> bool:
        while self._held:
            try:
                self._held -= os.splice(self._out, self._target.fileno(), self._held, flags=os.SPLICE_F_NONBLOCK)
            except BlockingIOError:  # noqa: PERF203
                return False
        if self._source_ended:
            self.ended = True
            self._target.shutdown(socket.SHUT_WR)
        return True

    def _fill(self) -> bool:
        if self._source_ended:
            return False
        try:
            received = os.splice(self._source.fileno(), self._into, self._capacity, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return False
        self._held += received
        self._source_ended = received == 0
        return True

    def close(self) -> None:
        os.close(self._out)
        os.close(self._into)


def _grow(pipe: int) -> int:
    try:
        return fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    except OSError:  # the user's pipes have used up what the kernel grants him
        return 1 << 12


def _send_at_once(end: socket.socket) -> None:
    if end.family != socket.AF_UNIX:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

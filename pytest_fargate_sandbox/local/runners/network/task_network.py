"""A task's network, seen from its holder: which of its ports answer outside, and the engine's gate inside.

A socket keeps the namespace it was made in. The holder lives inside, so it asks the engine for sockets made outside:
a listening one for each port, a connected one for each connection to the gate.
"""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.network.port_listeners import listening, reachable_ports
from pytest_fargate_sandbox.local.runners.network.socket_relays import SocketRelays, refuse

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop
    from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Channel, Message

_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.002, 0.5, 1.25
_BACKLOG = 512
_MOST_PORTS = 100
"""What runs in a task could listen on all there are, and take every descriptor of the engine with it."""
_MOST_UNANSWERED = 20
"""Wishes sent to the engine at a time: were there more, each side could wait for the other to read."""
_MOST_AT_GATE = 16
"""Connections of one task. Others of it wait: it could hold all that the gate serves, and shut its neighbours out."""


class TaskNetwork:
    """Opens outside what listens inside, for as long as it does."""

    def __init__(self, loop: Loop, channel: Channel, gate_port: int | None) -> None:
        self._loop = loop
        self._channel = channel
        self._relays = SocketRelays(loop)
        self._dial: dict[int, str] = {}
        self._outside: dict[int, socket.socket | None] = {}
        self._unanswered: set[int] = set()
        self._pause = _FIRST_PAUSE
        self._round = 0
        self._at_gate: dict[int, socket.socket] = {}
        self._gate_count = 0
        self._through_gate = 0
        if gate_port is not None:
            self._gate = _listen_inside(gate_port)
            loop.watch(self._gate.fileno(), self._someone_at_gate)
        self.look_soon()

    def look_soon(self) -> None:
        """A program has started: look for its ports often, then less and less."""
        self._pause = _FIRST_PAUSE
        self._round += 1
        self._look(self._round)

    def _look(self, round_: int) -> None:
        if round_ != self._round:  # look_soon has begun another
            return
        self._dial = dict(sorted(reachable_ports(listening()).items())[:_MOST_PORTS])
        for port in sorted(self._dial.keys() - self._outside.keys() - self._unanswered):
            if len(self._unanswered) < _MOST_UNANSWERED:
                self._unanswered.add(port)
                self._outside[port] = None
                self._channel.send({"event": "port", "port": port})
        for port in self._outside.keys() - self._dial.keys():
            self._close_outside(port)
        self._pause = min(self._pause * _GROWTH, _LONGEST_PAUSE)
        self._loop.call_later(self._pause * random.uniform(0.75, 1.25), lambda: self._look(round_))

    def port_opened(self, message: Message, descriptors: list[int]) -> None:
        """The engine's answer to "port": a listening socket at the task's address, or none where it is taken."""
        port = message["port"]
        self._unanswered.discard(port)
        if not descriptors:
            return
        listener = socket.socket(fileno=descriptors[0])
        if port not in self._outside:  # closed again meanwhile
            listener.close()
            return
        listener.setblocking(False)
        self._outside[port] = listener
        self._loop.watch(listener.fileno(), lambda: self._accept(port, listener))

    def _close_outside(self, port: int) -> None:
        listener = self._outside.pop(port)
        if listener:
            self._loop.forget(listener.fileno())
            listener.close()

    def _accept(self, port: int, listener: socket.socket) -> None:
        client = self._relays.accept(listener)
        if client is None:
            return
        address = self._dial.get(port, "127.0.0.1")
        try:
            server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        except OSError:  # out of descriptors
            refuse(client)
            return
        server.setblocking(False)
        try:
            server.connect((address, port))
        except BlockingIOError:
            pass
        except OSError:
            refuse(client)
            server.close()
            return
        self._relays.carry(client, server)

    def _someone_at_gate(self) -> None:
        client = self._relays.accept(self._gate)
        if client is None:
            return
        self._gate_count += 1
        self._through_gate += 1
        self._at_gate[self._gate_count] = client
        self._channel.send({"event": "gate", "number": self._gate_count})
        if self._through_gate == _MOST_AT_GATE:
            self._loop.forget(self._gate.fileno())

    def gate_dialled(self, message: Message, descriptors: list[int]) -> None:
        """The engine's answer to "gate": a connection to it, or none where it is closing."""
        client = self._at_gate.pop(message["number"])
        if descriptors:
            self._relays.carry(client, socket.socket(fileno=descriptors[0]), self._left_gate)
        else:
            refuse(client)
            self._left_gate()

    def _left_gate(self) -> None:
        if self._through_gate == _MOST_AT_GATE:
            self._loop.watch(self._gate.fileno(), self._someone_at_gate)
        self._through_gate -= 1


def _listen_inside(port: int) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port), backlog=_BACKLOG)
    listener.setblocking(False)
    return listener

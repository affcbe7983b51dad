"""A port session with one connection at a time: payloads are its bytes, and there is nothing around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.session_message import Flag
from pytest_fargate_sandbox.local.ssm.agent.local_dial import LocalDial
from pytest_fargate_sandbox.local.ssm.agent.paced_output import LARGEST_PAYLOAD, PacedOutput
from pytest_fargate_sandbox.local.ssm.agent.watched_connection import WatchedConnection

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop
    from pytest_fargate_sandbox.local.ssm.agent.agent_channel import AgentChannel

_HELD_BYTES = 1 << 20


class BasicPort:
    """Dials at once, and later when there is something to send; ends by ``on_broken`` where nobody listens."""

    def __init__(self, loop: Loop, channel: AgentChannel, port: int, on_broken: Callable[[], None]) -> None:
        self._loop, self._channel, self._port, self._on_broken = loop, channel, port, on_broken
        self._held = 0
        self._read_ahead = b""
        self._output = PacedOutput(loop, channel, self._next_output)
        self._connection: WatchedConnection | None = None
        self._dial()

    def resume(self) -> None:
        self._output.look()

    def receive(self, data: bytes) -> None:
        if self._connection is None:
            self._dial()
        self._held += len(data)
        if self._connection is not None:
            self._connection.send(data)
        if self._held > _HELD_BYTES:
            self._channel.stop_reading()

    def flag(self, flag: int) -> None:
        if flag == Flag.DISCONNECT_TO_PORT and self._connection is not None:
            self._connection.end()

    def _dial(self) -> None:
        self._connection = WatchedConnection(self._loop, self._read, self._delivered, self._ended)
        LocalDial(self._loop, self._port, self._dialled)

    def _dialled(self, connected: socket.socket | None) -> None:
        if connected is None or self._connection is None:
            self._on_broken()
        else:
            self._connection.open(connected)

    def _read(self, connected: socket.socket) -> bytes | None:
        if self._read_ahead:
            return None
        data = connected.recv(LARGEST_PAYLOAD)
        self._read_ahead = data
        self._output.look()
        return data

    def _next_output(self) -> bytes:
        data, self._read_ahead = self._read_ahead, b""
        if self._connection is not None:
            self._connection.go_on_reading()
        return data

    def _delivered(self, size: int) -> None:
        self._held -= size
        if self._held < _HELD_BYTES:
            self._channel.go_on_reading()

    def _ended(self) -> None:
        self._connection = None

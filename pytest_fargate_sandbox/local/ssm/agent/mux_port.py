"""A port session with many connections: the agent as smux's server, which dials for each stream of the client's.

There is no flow control by stream: a connection that nobody reads from fills what all share, and then nothing passes.
A ``FIN`` closes both directions, whoever sends it.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.session_message import Flag, PayloadType, flag_payload
from pytest_fargate_sandbox.leaves.smux_frames import LARGEST_WRITE, Command, Frame, FrameReader, MalformedFrame, encode
from pytest_fargate_sandbox.local.ssm.agent.local_dial import LocalDial
from pytest_fargate_sandbox.local.ssm.agent.paced_output import LARGEST_PAYLOAD, PacedOutput
from pytest_fargate_sandbox.local.ssm.agent.watched_connection import WatchedConnection

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop
    from pytest_fargate_sandbox.local.ssm.agent.agent_channel import AgentChannel

_POOL_BYTES = 4 << 20
"""What smux holds for all streams together: MaxReceiveBuffer, https://github.com/xtaci/smux/blob/v1.5.15/mux.go"""
_SOCKET_BYTES = 190_000
"""What the pair of sockets between smux and the agent's channel was seen to hold, each way."""
_NOP_SEC, _SILENCE_SEC = 10.0, 30.0


class MuxPort:
    """``on_broken`` is called where the client does not speak smux."""

    def __init__(
        self, loop: Loop, channel: AgentChannel, port: int, on_broken: Callable[[], None], *, keeps_alive: bool
    ) -> None:
        self._loop, self._channel, self._port, self._on_broken = loop, channel, port, on_broken
        self._frames = FrameReader()
        self._streams: dict[int, _Stream] = {}
        self._undialled: deque[_Stream] = deque()
        self._pool = 0
        self._outgoing = bytearray()
        self._output = PacedOutput(loop, channel, self._next_output)
        self._waiting: list[_Stream] = []
        self._heard_at = time.monotonic()
        if keeps_alive:
            self._loop.call_later(_NOP_SEC, self._keep_alive)

    def resume(self) -> None:
        self._output.look()

    def receive(self, data: bytes) -> None:
        self._heard_at = time.monotonic()
        try:
            frames = self._frames.feed(data)
        except MalformedFrame:
            self._on_broken()
            return
        for frame in frames:
            self._serve(frame)
        if self._pool > _POOL_BYTES + _SOCKET_BYTES:
            self._channel.stop_reading()

    def flag(self, _flag: int) -> None:
        """None of the client's flags means anything here but the one that ends the session."""

    def _serve(self, frame: Frame) -> None:
        stream = self._streams.get(frame.stream)
        if frame.command is Command.SYN and stream is None:
            stream = self._streams[frame.stream] = _Stream(self, frame.stream)
            self._undialled.append(stream)
            if len(self._undialled) == 1:
                self._dial()
        elif stream is not None and frame.command is Command.PSH:
            self._pool += len(frame.data)
            stream.connection.send(frame.data)
        elif stream is not None and frame.command is Command.FIN:
            stream.connection.end()

    # --- connections: one dial at a time -----------------------------------------------------------------------------

    def _dial(self) -> None:
        LocalDial(self._loop, self._port, self._dialled)

    def _dialled(self, connected: socket.socket | None) -> None:
        stream = self._undialled.popleft()
        if connected is None:
            self._channel.send(PayloadType.FLAG, flag_payload(Flag.CONNECT_TO_PORT_ERROR))
            stream.connection.close()
        else:
            stream.connection.open(connected)
        if self._undialled:
            self._loop.call_later(0, self._dial)

    # --- what the streams say ----------------------------------------------------------------------------------------

    @property
    def loop(self) -> Loop:
        return self._loop

    def has_room(self, stream: _Stream) -> bool:
        """For what it would send; else it is asked again when there is."""
        if len(self._outgoing) < _SOCKET_BYTES:
            return True
        self._waiting.append(stream)
        return False

    def put(self, command: Command, number: int, data: bytes = b"") -> None:
        self._outgoing += encode(command, number, data)
        self._output.look()

    def delivered(self, size: int) -> None:
        """So much of what came in is no longer held."""
        self._pool -= size
        if self._pool < _POOL_BYTES:
            self._channel.go_on_reading()

    def forget(self, number: int) -> None:
        self._streams.pop(number, None)

    def _next_output(self) -> bytes:
        data = bytes(self._outgoing[:LARGEST_PAYLOAD])
        del self._outgoing[:LARGEST_PAYLOAD]
        if self._waiting and len(self._outgoing) < _SOCKET_BYTES:
            waiting, self._waiting = self._waiting, []
            for stream in waiting:
                stream.connection.go_on_reading()
        return data

    def _keep_alive(self) -> None:
        if time.monotonic() - self._heard_at > _SILENCE_SEC:
            self._on_broken()
            return
        self.put(Command.NOP, 0)
        self._loop.call_later(_NOP_SEC, self._keep_alive)


class _Stream:
    """One of the client's streams, and its connection."""

    def __init__(self, port: MuxPort, number: int) -> None:
        self._port, self._number = port, number
        self.connection = WatchedConnection(port.loop, self._read, port.delivered, self._ended)

    def _read(self, connected: socket.socket) -> bytes | None:
        if not self._port.has_room(self):
            return None
        data = connected.recv(LARGEST_WRITE)
        if data:
            self._port.put(Command.PSH, self._number, data)
        return data

    def _ended(self) -> None:
        self._port.put(Command.FIN, self._number)
        self._port.forget(self._number)

"""How records travel in a port session: in the frames of one smux stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves import smux_frames
from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.session_message import Flag, PayloadType, flag_of
from pytest_fargate_sandbox.leaves.smux_frames import FIRST_STREAM, Command, FrameReader
from pytest_fargate_sandbox.providers.ssm.handshake import response_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.leaves.session_message import SessionMessage

_HEAD_BYTES = 8


class PortFraming:
    """``send`` is told a payload type and a payload; ``heard`` is told what came from the other end."""

    def __init__(self) -> None:
        self._frames = FrameReader()

    def most(self, message_bytes: int) -> int:
        """How long a record may be, of which none is spread over two messages."""
        return message_bytes - _HEAD_BYTES

    def wrap(self, record: bytes) -> bytes:
        return smux_frames.encode(Command.PSH, FIRST_STREAM, record)

    def take(
        self,
        message: SessionMessage,
        send: Callable[[int, bytes], None],
        heard: Callable[[bytes], None],
        opening: bytes,
    ) -> None:
        """Act upon one message. Raises ``TransportError`` where it is the end."""
        if message.payload_type == PayloadType.DATA:
            for frame in self._frames.feed(message.payload):
                self._take_frame(frame, heard)
        elif message.payload_type == PayloadType.HANDSHAKE_REQUEST:
            send(PayloadType.HANDSHAKE_RESPONSE, response_to(message))
        elif message.payload_type == PayloadType.HANDSHAKE_COMPLETE:
            # Nothing may be sent before: it would be acknowledged, and dropped.
            first = smux_frames.encode(Command.SYN, FIRST_STREAM)
            send(PayloadType.DATA, first + (self.wrap(opening) if opening else b""))
        elif message.payload_type == PayloadType.FLAG and flag_of(message) == Flag.CONNECT_TO_PORT_ERROR:
            raise TransportError("nothing listens at the port of the task that the session leads to")

    def _take_frame(self, frame: smux_frames.Frame, heard: Callable[[bytes], None]) -> None:
        if frame.stream != FIRST_STREAM:
            return
        if frame.command == Command.FIN:
            raise TransportError("the other end of the tunnel has ended it")
        if frame.command == Command.PSH:
            heard(frame.data)

"""One message of a Session Manager's data channel, as bytes and as an object; both ends of the channel speak it.

A message is one binary frame of the channel's WebSocket. After the sources of the real two ends, of which this is one:
https://github.com/aws/session-manager-plugin/blob/61cf1288/src/message/messageparser.go
"""

from __future__ import annotations

import enum
import hashlib
import json
import struct
import time
import uuid
from typing import Any, Final, NamedTuple

INPUT: Final = "input_stream_data"
"""From the client to the agent."""
OUTPUT: Final = "output_stream_data"
"""From the agent to the client."""
ACKNOWLEDGE: Final = "acknowledge"
CHANNEL_CLOSED: Final = "channel_closed"
START_PUBLICATION: Final = "start_publication"
PAUSE_PUBLICATION: Final = "pause_publication"
SESSION_STATE: Final = "agent_session_state"

SYN: Final = 1
"""The flag of the agent's first stream message."""
SYN_FIN: Final = 3
"""The flags of what is no stream message."""

_HEADER = struct.Struct(">I32sIQqQ16s32sI")
_LENGTH = struct.Struct(">I")
_SCHEMA = 1
_NO_DIGEST = bytes(32)


class PayloadType(enum.IntEnum):
    """What a stream message carries. A number that is not here is left as it is."""

    NONE = 0
    DATA = 1
    ERROR = 2
    SIZE = 3
    PARAMETER = 4
    HANDSHAKE_REQUEST = 5
    HANDSHAKE_RESPONSE = 6
    HANDSHAKE_COMPLETE = 7
    ENCRYPTION_REQUEST = 8
    ENCRYPTION_RESPONSE = 9
    FLAG = 10
    STDERR = 11
    EXIT_CODE = 12


class Flag(enum.IntEnum):
    """The payload of a ``PayloadType.FLAG``."""

    DISCONNECT_TO_PORT = 1
    TERMINATE_SESSION = 2
    CONNECT_TO_PORT_ERROR = 3


class MalformedMessage(Exception):
    """Those bytes are no message; the text says why."""


class SessionMessage(NamedTuple):
    """``sequence`` counts the stream messages of one direction, of all payload types, from 0."""

    type: str
    payload: bytes
    payload_type: int = PayloadType.NONE
    sequence: int = 0
    flags: int = 0
    id: uuid.UUID = uuid.UUID(int=0)
    created_ms: int = 0
    """Since 1970; never 0 in what is sent."""
    digest: bytes = _NO_DIGEST

    @property
    def is_intact(self) -> bool:
        """Whether the payload is the one that was signed for, or none was."""
        return self.digest in (_NO_DIGEST, hashlib.sha256(self.payload).digest())


def stream_message(message_type: str, sequence: int, payload_type: int, payload: bytes) -> SessionMessage:
    """A new ``INPUT`` or ``OUTPUT`` message."""
    flags = SYN if message_type == OUTPUT and sequence == 0 else 0
    return SessionMessage(message_type, payload, payload_type, sequence, flags, uuid.uuid4(), _now_ms())


def state_message(message_type: str, content: dict[str, Any]) -> SessionMessage:
    """A new message that is none of the stream's: it has no number, and nobody acknowledges it."""
    payload = json.dumps(content).encode()
    return SessionMessage(message_type, payload, flags=SYN_FIN, id=uuid.uuid4(), created_ms=_now_ms())


def acknowledgement(message: SessionMessage) -> SessionMessage:
    """What answers one stream message that was taken, again each time it comes."""
    return state_message(
        ACKNOWLEDGE,
        {
            "AcknowledgedMessageType": message.type,
            "AcknowledgedMessageId": str(message.id),
            "AcknowledgedMessageSequenceNumber": message.sequence,
            "IsSequentialMessage": True,
        },
    )


def acknowledged_sequence(message: SessionMessage) -> int:
    """Of an ``ACKNOWLEDGE``, whose other fields nobody looks at. Raises ``MalformedMessage``."""
    number = content_of(message).get("AcknowledgedMessageSequenceNumber")
    if type(number) is not int:
        raise MalformedMessage("an acknowledgement without a number")
    return number


def content_of(message: SessionMessage) -> dict[str, Any]:
    """The payload of a message that carries JSON. Raises ``MalformedMessage``."""
    try:
        content = json.loads(message.payload)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise MalformedMessage(f"{message.type} whose payload is no JSON object")
    return content


def flag_payload(flag: int) -> bytes:
    return _LENGTH.pack(flag)


def flag_of(message: SessionMessage) -> int:
    """Of a ``PayloadType.FLAG``. Raises ``MalformedMessage``."""
    if len(message.payload) != _LENGTH.size:
        raise MalformedMessage(f"a flag of {len(message.payload)} bytes")
    return int(_LENGTH.unpack(message.payload)[0])


def encode(message: SessionMessage) -> bytes:
    header = _HEADER.pack(
        _HEADER.size,
        message.type.encode("ascii").ljust(32),
        _SCHEMA,
        message.created_ms,
        message.sequence,
        message.flags,
        _swapped(message.id.bytes),
        hashlib.sha256(message.payload).digest(),
        message.payload_type,
    )
    return header + _LENGTH.pack(len(message.payload)) + message.payload


def decode(frame: bytes) -> SessionMessage:
    """Raises ``MalformedMessage``. Whether the payload ``is_intact`` is for the caller to ask."""
    if len(frame) < _HEADER.size + _LENGTH.size:
        raise MalformedMessage(f"{len(frame)} bytes, where the header alone has {_HEADER.size + _LENGTH.size}")
    size, name, _schema, created, sequence, flags, identity, digest, payload_type = _HEADER.unpack_from(frame)
    # A later schema may have a longer header: the payload is found by the length that the header gives of itself.
    start = size + _LENGTH.size
    if not _HEADER.size <= size <= len(frame) - _LENGTH.size:
        raise MalformedMessage(f"a header of {size} bytes")
    (length,) = _LENGTH.unpack_from(frame, size)
    if len(frame) - start != length:
        raise MalformedMessage(f"a payload of {len(frame) - start} bytes, where {length} are announced")
    try:
        message_type = name.decode("ascii").strip(" \0")
    except UnicodeDecodeError:
        raise MalformedMessage(f"the message type {name!r}") from None
    identifier = uuid.UUID(bytes=_swapped(identity))
    return SessionMessage(message_type, frame[start:], payload_type, sequence, flags, identifier, created, digest)


def _swapped(identity: bytes) -> bytes:
    """The lower half of a UUID travels first."""
    return identity[8:] + identity[:8]


def _now_ms() -> int:
    return int(time.time() * 1000)

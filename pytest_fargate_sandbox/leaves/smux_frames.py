"""Frames of smux, version 1: many streams of bytes in one, as port sessions of a Session Manager carry them.

After https://github.com/xtaci/smux/blob/v1.5.15/frame.go and session.go beside it. There is no flow control by stream,
and a ``FIN`` closes both directions.
"""

from __future__ import annotations

import enum
import struct
from typing import Final, NamedTuple

FIRST_STREAM: Final = 3
"""The id of the client's first stream; the next is two more. The other end opens none."""
LARGEST_WRITE: Final = 32768
"""What Go's end puts into one frame at most; it takes as much as the length can say."""

_HEADER = struct.Struct("<BBHI")
_VERSION = 1


class Command(enum.IntEnum):
    SYN = 0
    FIN = 1
    PSH = 2
    NOP = 3


class MalformedFrame(Exception):
    """It breaks the whole session: where the next frame begins, nobody knows."""


class Frame(NamedTuple):
    command: Command
    stream: int
    data: bytes = b""


def encode(command: Command, stream: int, data: bytes = b"") -> bytes:
    """``data`` goes with ``PSH`` only, at most 65,535 bytes of it."""
    return _HEADER.pack(_VERSION, command, len(data), stream) + data


class FrameReader:
    """Makes frames of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now. Raises ``MalformedFrame``."""
        rest = self._rest
        rest += data
        frames, start = [], 0
        while len(rest) - start >= _HEADER.size:
            version, command, length, stream = _HEADER.unpack_from(rest, start)
            if version != _VERSION or command > Command.NOP:
                raise MalformedFrame(f"a frame of version {version} with the command {command}")
            end = start + _HEADER.size + length
            if len(rest) < end:
                break
            frames.append(Frame(Command(command), stream, bytes(rest[start + _HEADER.size : end])))
            start = end
        del rest[:start]
        return frames

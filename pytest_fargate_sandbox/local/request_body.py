"""The body of an HTTP request: of a known size, in chunks, or none."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHUNK_BYTES = 64 * 1024
_IN_MEMORY_BYTES = 1 << 20


class BadRequest(Exception):
    """The peer does not speak HTTP as we do; the text says what is wrong."""


def open_body(environ: Mapping[str, Any], incoming: BinaryIO) -> BinaryIO:
    """The body that the headers in ``environ`` announce: in memory where it is small, else as it comes."""
    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return io.BufferedReader(_ChunkedBody(incoming), _CHUNK_BYTES)
    length = environ.get("CONTENT_LENGTH") or "0"
    if not length.isascii() or not length.isdigit():
        raise BadRequest("Content-Length is not a number")
    if int(length) > _IN_MEMORY_BYTES or "HTTP_EXPECT" in environ:
        return io.BufferedReader(_SizedBody(incoming, int(length)), _CHUNK_BYTES)
    body = incoming.read(int(length))
    if len(body) < int(length):
        raise BadRequest("the body is shorter than its Content-Length")
    return io.BytesIO(body)


def drain(body: BinaryIO) -> None:
    """Read what nobody wanted, so that the next request begins where this one ends."""
    while body.read(_CHUNK_BYTES):
        pass


class _SizedBody(io.RawIOBase):
    def __init__(self, incoming: BinaryIO, length: int) -> None:
        self._incoming = incoming
        self._left = length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._incoming.read(min(len(buffer), self._left))
        if not part and self._left:
            raise BadRequest("the body is shorter than its Content-Length")
        buffer[: len(part)] = part
        self._left -= len(part)
        return len(part)


class _ChunkedBody(io.RawIOBase):
    def __init__(self, incoming: BinaryIO) -> None:
        self._incoming = incoming
        self._left = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left == 0 and not self._ended:
            self._next_chunk()
        if self._ended:
            return 0
        part = self._incoming.read(min(len(buffer), self._left))
        if not part:
            raise BadRequest("a chunk is cut off")
        buffer[: len(part)] = part
        self._left -= len(part)
        if self._left == 0:
            self._incoming.readline(2)
        return len(part)

    def _next_chunk(self) -> None:
        line = self._incoming.readline(_CHUNK_BYTES)
        try:
            self._left = int(line.split(b";")[0], 16)
        except ValueError:
            raise BadRequest("a chunk has no size") from None
        if self._left == 0:
            self._ended = True
            while self._incoming.readline(_CHUNK_BYTES) not in (b"\r\n", b"\n", b""):
                pass

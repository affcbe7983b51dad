"""As much of HTTP/1.1 as two ends need that trust nobody: strict heads, sized and chunked bodies, trailers.

What our own two ends never say to each other is refused, unless the sender is known to be a ``foreign`` one: the local
engine reads the requests of AWS's clients with this.

``http.server``, ``http.client`` and ``email`` cost more time to import than the whole server takes to start, and more
time for each request than the command that it carries.
"""

import io
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterable

MAX_HEAD = 32 * 1024
MAX_FOREIGN_HEAD = 64 * 1024
MAX_INLINE = 32 * 1024 * 1024
"""The largest body with a Content-Length, which is kept in memory. What is larger travels chunked."""
BLOCK = 256 * 1024
SLOT_FIELD = "slot"
"""Whose workspace a request is about, if it is not about the whole machine: a lease of ``slots``."""

_TARGET = re.compile(rb"/[^\x00-\x20\x7f]*\Z")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_BAD_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_DIGITS = re.compile(r"[0-9]{1,19}\Z")
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}\Z")
_CHUNK_LINE = 1024
_PIECE = 64 * 1024

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    410: "Gone",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}


class Malformed(Exception):
    """The other end does not speak HTTP as we do. Nothing more can be read from it."""

    def __init__(self, message: str, kind: str = "bad_request") -> None:
        Exception.__init__(self, message)
        self.kind = kind


class Disconnected(Exception):
    """The other end went away; ``midway`` tells whether it left something unfinished."""

    def __init__(self, message: str, midway: bool = True) -> None:
        Exception.__init__(self, message)
        self.midway = midway


class Reader:
    """Bytes from a connection, with what came too early kept for later."""

    def __init__(self, receive: "Callable[[int], bytes]") -> None:
        self._receive = receive
        self._buffer = bytearray()

    def _fill(self, what: str) -> None:
        data = self._receive(_PIECE)
        if not data:
            raise Disconnected("the connection ended in %s" % what, midway=bool(self._buffer) or what != "a head")
        self._buffer += data

    @property
    def has_more(self) -> bool:
        """Whether something came that nobody has asked for yet."""
        return bool(self._buffer)

    def rest(self) -> bytes:
        """What that is: for whoever takes the connection over."""
        taken = bytes(self._buffer)
        del self._buffer[:]
        return taken

    def read_until(self, mark: bytes, limit: int, what: str, kind: str = "head_too_large") -> bytes:
        """What comes before ``mark``, which is swallowed."""
        searched = 0
        while True:
            found = self._buffer.find(mark, searched)
            # The mark itself may have come by half.
            if found > limit or (found < 0 and len(self._buffer) >= limit + len(mark)):
                raise Malformed("%s is longer than %d bytes" % (what, limit), kind)
            if found >= 0:
                taken = bytes(self._buffer[:found])
                del self._buffer[: found + len(mark)]
                return taken
            searched = max(0, len(self._buffer) - len(mark) + 1)
            self._fill(what)

    def read_some(self, most: int) -> bytes:
        """At least one byte and at most ``most``."""
        if not self._buffer:
            if most >= _PIECE:
                data = self._receive(most)
                if not data:
                    raise Disconnected("the connection ended in a body")
                return data
            self._fill("a body")  # Little by little would cost a system call for each.
        taken = bytes(self._buffer[:most])
        del self._buffer[:most]
        return taken


class SizedBody:
    """A body with a Content-Length."""

    def __init__(self, reader: Reader, size: int) -> None:
        self.reader = reader
        self._left = size
        self.trailers: "dict[str, str]" = {}

    @property
    def finished(self) -> bool:
        return not self._left

    def read(self, most: int = BLOCK) -> bytes:
        """Some of it, or nothing at its end."""
        if not self._left:
            return b""
        data = self.reader.read_some(min(most, self._left))
        self._left -= len(data)
        return data


class ChunkedBody:
    """A body that ends when its sender says so, with trailers behind it."""

    def __init__(self, reader: Reader, foreign: bool) -> None:
        self.reader = reader
        self._foreign = foreign
        self._left = 0
        self.finished = False
        self.trailers: "dict[str, str]" = {}

    def read(self, most: int = BLOCK) -> bytes:
        if self.finished:
            return b""
        if not self._left:
            size = self.reader.read_until(b"\r\n", _CHUNK_LINE, "the size of a chunk", "bad_request")
            if self._foreign:
                size = size.partition(b";")[0].rstrip(b" \t")
            if not _CHUNK_SIZE.match(size):
                raise Malformed("%.80r is not the size of a chunk" % size)
            self._left = int(size, 16)
            if not self._left:
                self._end()
                return b""
        data = self.reader.read_some(min(most, self._left))
        self._left -= len(data)
        if not self._left and self.reader.read_until(b"\r\n", 0, "the end of a chunk", "bad_request"):
            raise Malformed("a chunk is longer than its size")
        return data

    def _end(self) -> None:
        lines = []
        size = 0
        while True:
            line = self.reader.read_until(b"\r\n", MAX_HEAD - size, "the trailers")
            if not line:
                break
            lines.append(line)
            size += len(line)
        self.trailers = _parse_fields(lines, self._foreign)
        self.finished = True


class Payload:
    """A body in which lines and exact counts can be read before the rest."""

    def __init__(self, body: "SizedBody | ChunkedBody") -> None:
        self.body = body
        self._early = b""

    def read(self, most: int = BLOCK) -> bytes:
        if self._early:
            taken, self._early = self._early[:most], self._early[most:]
            return taken
        return self.body.read(most)

    def read_line(self, limit: int) -> bytes:
        """The bytes before the first newline; the rest stays."""
        parts = []
        size = 0
        while True:
            data = self.read()
            line, newline, rest = data.partition(b"\n")
            parts.append(line)
            size += len(line)
            if size > limit:
                raise Malformed("the first line of the body is longer than %d bytes" % limit, "too_large")
            if newline or not data:
                self._early = rest + self._early
                return b"".join(parts)

    def read_block(self, size: int = BLOCK) -> bytes:
        """As many bytes as asked for, less only at the end: large steps, where each costs a wait for other threads."""
        parts = []
        while size:
            data = self.read(size)
            if not data:
                break
            parts.append(data)
            size -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read_exactly(self, count: int) -> bytes:
        data = self.read_block(count)
        if len(data) < count:
            raise Disconnected("a body is shorter than what it promised")
        return data

    def read_all(self, most: int) -> bytes:
        """All that is left of it."""
        whole = io.BytesIO()
        for data in iter(self.read_block, b""):
            if whole.tell() + len(data) > most:
                raise Malformed("a body is longer than %d bytes" % most, "too_large")
            whole.write(data)
        return whole.getvalue()


# --- heads ----------------------------------------------------------------------------------------------------------
class RequestHead:
    def __init__(self, method: str, target: str, version: str, fields: "dict[str, str]") -> None:
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.keep_alive = version == "HTTP/1.1" and fields.get("connection", "").lower() != "close"


class AnswerHead:
    def __init__(self, status: int, fields: "dict[str, str]") -> None:
        self.status = status
        self.fields = fields
        self.keep_alive = fields.get("connection", "").lower() != "close"


def read_request_head(reader: Reader, foreign: bool = False) -> RequestHead:
    """The next request's; a ``foreign`` one may be longer, and its headers that stand twice are joined."""
    first, fields = _read_head(reader, foreign)
    parts = first.split(b" ")
    if len(parts) != 3 or not _TOKEN.match(parts[0]) or not _TARGET.match(parts[1]):
        raise Malformed("%.80r is not a request" % first)
    if parts[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        raise Malformed("%.20r is not a version of HTTP spoken here" % parts[2])
    method, target, version = [part.decode("latin-1") for part in parts]
    return RequestHead(method, target, version, fields)


def read_answer_head(reader: Reader) -> AnswerHead:
    first, fields = _read_head(reader)
    match = re.match(rb"HTTP/1\.1 ([0-9]{3})( |\Z)", first)
    if not match:
        raise Malformed("%.80r is not an HTTP answer" % first)
    return AnswerHead(int(match.group(1)), fields)


def _read_head(reader: Reader, foreign: bool = False) -> "tuple[bytes, dict[str, str]]":
    most = MAX_FOREIGN_HEAD if foreign else MAX_HEAD
    lines = reader.read_until(b"\r\n\r\n", most, "a head").split(b"\r\n")
    return lines[0], _parse_fields(lines[1:], foreign)


def _parse_fields(lines: "list[bytes]", foreign: bool) -> "dict[str, str]":
    fields: "dict[str, str]" = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.match(name) or _BAD_IN_VALUE.search(value):
            raise Malformed("%.80r is not a header" % line)
        key = name.decode("ascii").lower()
        text = value.decode("latin-1").strip(" \t")
        if key in fields:
            if not foreign:
                raise Malformed("the header %s stands there twice" % key)
            text = "%s,%s" % (fields[key], text)
        fields[key] = text
    return fields


def open_body(reader: Reader, fields: "dict[str, str]", foreign: bool = False) -> "SizedBody | ChunkedBody":
    """The body that this head announces; a ``foreign`` one may have any size, and extensions to its chunks."""
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is not None:
        if length is not None or coding.lower() != "chunked":
            raise Malformed("a body is chunked or has a Content-Length, and nothing else")
        return ChunkedBody(reader, foreign)
    if length is None:
        return SizedBody(reader, 0)
    if not _DIGITS.match(length):
        raise Malformed("%.80r is not a Content-Length" % length)
    if int(length) > MAX_INLINE and not foreign:
        raise Malformed("a body of more than %d bytes must be chunked" % MAX_INLINE, "too_large")
    return SizedBody(reader, int(length))


def request_head(
    verb_path: str, token: "str | None", size: "int | None", method: str = "POST", slot: "str | None" = None
) -> bytes:
    """The head of a request; without a size its body is chunked. ``slot`` is the lease in whose name it is asked."""
    length = "Transfer-Encoding: chunked" if size is None else "Content-Length: %d" % size
    key = "Authorization: Bearer %s\r\n" % token if token else ""
    if slot:
        key += "%s: %s\r\n" % (SLOT_FIELD, slot)
    return ("%s %s HTTP/1.1\r\nHost: sandbox\r\n%s%s\r\n\r\n" % (method, verb_path, key, length)).encode("latin-1")


def answer_head(status: int, size: "int | None", keep_alive: bool = True) -> bytes:
    length = "Transfer-Encoding: chunked" if size is None else "Content-Length: %d" % size
    close = "" if keep_alive else "Connection: close\r\n"
    return ("HTTP/1.1 %d %s\r\n%s%s\r\n\r\n" % (status, REASONS.get(status, ""), close, length)).encode("ascii")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def digested(blocks: "Iterable[bytes]", digest: "Any", skip: int) -> "Iterable[bytes]":
    """What is behind the first so many bytes, while all of it goes into the digest."""
    for block in blocks:
        digest.update(block)
        if skip < len(block):
            yield block[skip:]
        skip = max(0, skip - len(block))


_SMALL = 16 * 1024


def send_chunked(send: "Callable[[bytes], object]", head: bytes, blocks: "Iterable[bytes]") -> bytes:
    """Send the head and these blocks as chunks: small ones together, large ones without a copy.

    Gives what is still to be sent before the last chunk.
    """
    pending = head
    for block in blocks:
        if len(block) <= _SMALL:
            pending += chunk(block)
            if len(pending) < BLOCK:
                continue
            send(pending)
            pending = b""
        else:
            send(pending + b"%x\r\n" % len(block))
            send(block)
            pending = b"\r\n"
    return pending


def last_chunk(trailers: "dict[str, str] | None" = None) -> bytes:
    lines = ["%s: %s\r\n" % item for item in (trailers or {}).items()]
    return ("0\r\n%s\r\n" % "".join(lines)).encode("latin-1")

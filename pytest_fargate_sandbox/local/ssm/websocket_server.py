"""The server's end of a WebSocket, as much of RFC 6455 as a data channel needs: no extensions, no subprotocols.

https://www.rfc-editor.org/rfc/rfc6455
"""

from __future__ import annotations

import base64
import contextlib
import enum
import hashlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.leaves.sockets import wake
from pytest_fargate_sandbox.server.requests.http1 import Disconnected

if TYPE_CHECKING:
    from typing import Any

    from pytest_fargate_sandbox.server.requests.http1 import Reader

_KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LARGEST = 1 << 20
"""Of a message. What the real gateway takes is not known; the official client sends a kilobyte."""
_PATIENCE_SEC = 1.0
_LENGTH_16, _LENGTH_64 = 126, 127


class Opcode(enum.IntEnum):
    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Close(enum.IntEnum):
    """Why a WebSocket ends (RFC 6455, 7.4.1)."""

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    POLICY_VIOLATION = 1008
    TOO_BIG = 1009


class _Broken(Exception):
    """The peer does not keep to the protocol."""

    def __init__(self, code: Close, why: str) -> None:
        super().__init__(why)
        self.code = code


class Received(NamedTuple):
    opcode: Opcode
    payload: bytes


def accept_key(environ: dict[str, Any]) -> str | None:
    """What answers a request to upgrade; None where the request is none."""
    wants = environ.get("HTTP_UPGRADE", "").lower() == "websocket"
    upgrades = "upgrade" in [word.strip().lower() for word in environ.get("HTTP_CONNECTION", "").split(",")]
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "")
    if not wants or not upgrades or not key or environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
        return None
    return base64.b64encode(hashlib.sha1(key.encode("latin-1") + _KEY_SUFFIX).digest()).decode()


class WebSocket:
    """One thread receives; any may send. Made when the request to upgrade has been read."""

    def __init__(self, connection: socket.socket, reader: Reader, key: str) -> None:
        self._connection = connection
        self._reader = reader
        self._lock = threading.Lock()
        self._is_closing = self._is_closed = False
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(f"{head}Sec-WebSocket-Accept: {key}\r\n\r\n".encode("latin-1"))

    def receive(self) -> Received | None:
        """The next message; None when the WebSocket has ended, however it did."""
        try:
            received = self._receive()
            while received is not None and self._is_closed:
                received = self._receive()
            return received
        except _Broken as broken:
            self.close(broken.code, str(broken))
        except (OSError, Disconnected):
            pass
        return None

    def send(self, opcode: Opcode, payload: bytes) -> bool:
        """Whether it could be sent; waits for a peer that does not read."""
        size = len(payload)
        if size < _LENGTH_16:
            head = struct.pack(">BB", 0x80 | opcode, size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", 0x80 | opcode, _LENGTH_16, size)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, _LENGTH_64, size)
        with self._lock:
            if self._is_closed:
                return False
            try:
                self._connection.sendall(head + payload)
            except OSError:
                return False
        return True

    def close(self, code: Close, reason: str, last: bytes = b"") -> None:
        """In good order, with a last message, and for good: what the peer still says is not heard.

        It is read all the same: a peer that cannot even acknowledge what came before may take all of that for lost. One
        that does not read, or does not go, is cut off: the session's end must not wait for it.
        """
        if self._is_closing:
            return
        self._is_closing = True
        impatience = threading.Timer(_PATIENCE_SEC, self.cut)
        impatience.daemon = True
        impatience.start()
        if last:
            self.send(Opcode.BINARY, last)
        self.send(Opcode.CLOSE, struct.pack(">H", code) + reason.encode()[:120])
        self._is_closed = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Without a word. From any thread; whoever waits in ``receive`` or ``send`` is woken."""
        self._is_closed = True
        wake(self._connection)

    def _receive(self) -> Received | None:
        kind, parts = Opcode.CONTINUATION, bytearray()
        while True:
            last, opcode, payload = self._read_frame()
            if opcode is Opcode.PING:
                self.send(Opcode.PONG, payload)
            elif opcode is Opcode.CLOSE:
                self.send(Opcode.CLOSE, payload[:2])
                self.cut()
                return None
            elif opcode is not Opcode.PONG:
                if (opcode is Opcode.CONTINUATION) != (kind is not Opcode.CONTINUATION):
                    raise _Broken(Close.PROTOCOL_ERROR, "a continuation of nothing, or none where one was due")
                if last and opcode is not Opcode.CONTINUATION:
                    return Received(opcode, payload)
                kind = kind or opcode
                parts += payload
                if len(parts) > _LARGEST:
                    raise _Broken(Close.TOO_BIG, f"a message of more than {_LARGEST} bytes")
                if last:
                    return Received(kind, bytes(parts))

    def _read_frame(self) -> tuple[bool, Opcode, bytes]:
        first, second = self._read(2)
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError:
            raise _Broken(Close.PROTOCOL_ERROR, f"the opcode {first & 0x0F}") from None
        if first & 0x70 or not second & 0x80:
            raise _Broken(Close.PROTOCOL_ERROR, "an extension that was not agreed on, or a frame without a mask")
        size = second & 0x7F
        if opcode >= Opcode.CLOSE and (size >= _LENGTH_16 or not first & 0x80):
            raise _Broken(Close.PROTOCOL_ERROR, "a control frame that is long, or comes in parts")
        if size >= _LENGTH_16:
            size = int.from_bytes(self._read(2 if size == _LENGTH_16 else 8), "big")
        if size > _LARGEST:
            raise _Broken(Close.TOO_BIG, f"a message of more than {_LARGEST} bytes")
        mask = self._read(4)
        return bool(first & 0x80), opcode, _unmasked(self._read(size), mask)

    def _read(self, size: int) -> bytes:
        if not size:
            return b""
        data = self._reader.read_some(size)
        while len(data) < size:
            data += self._reader.read_some(size - len(data))
        return data


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    """As one number: a loop over bytes would take a hundred times as long."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")

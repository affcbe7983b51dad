"""A WebSocket for one thread that waits for many things: connected with patience, then never waited for."""

from __future__ import annotations

import importlib.util
import socket
import ssl
from itertools import count
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.providers.ssm.proxied_connection import connected

if TYPE_CHECKING:
    from websockets.client import ClientProtocol

_PIECE = 64 * 1024
_AT_ONCE = 16
"""Pieces that are taken before others have their turn."""
_MOST_UNSENT = 8 << 20
"""Bytes: who is asked for more acknowledgements and takes none of them is no gateway."""
_MOST = 1 << 20
"""Bytes of one message; the agent's have about a thousand."""


class WebSocketEnded(Exception):
    """The connection is over; the text says how."""


class WebSocket:
    def __init__(self, url: str, *, ca_bundle: str = "", timeout: float = 10.0) -> None:
        """Raises ``WebSocketEnded`` and ``OSError``."""
        self._protocol = _protocol(url)
        uri = self._protocol.uri
        sock = connected(uri.host, uri.port, timeout, secure=uri.secure)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if uri.secure:
                context = ssl.create_default_context(cafile=ca_bundle or None)
                sock = context.wrap_socket(sock, server_hostname=uri.host)
            self.sock = sock
            self._pending = b""
            self._parts: list[bytes] = []
            self._arrived: list[bytes] = []
            self._protocol.send_request(self._protocol.connect())
            self._shake_hands()
            sock.setblocking(False)
        except BaseException:
            sock.close()
            raise

    @property
    def has_pending(self) -> bool:
        return bool(self._pending)

    def send(self, message: bytes | str) -> None:
        """Make it ready; ``flush`` sends it. Raises ``WebSocketEnded`` where the other side has said farewell."""
        if not self._is_open:
            raise WebSocketEnded(self._why())
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        self._collect()

    def ping(self) -> None:
        if not self._is_open:
            return  # that it ends is noticed
        self._protocol.send_ping(b"")
        self._collect()

    def flush(self) -> None:
        """Send as much as goes. Raises ``WebSocketEnded``."""
        while self._pending:
            try:
                sent = self.sock.send(self._pending)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            except OSError as error:
                raise WebSocketEnded(str(error)) from error
            self._pending = self._pending[sent:]

    def receive(self) -> list[bytes]:
        """The messages that have come. Raises ``WebSocketEnded`` where none will any more."""
        for taken in count(1):
            try:
                data = self.sock.recv(_PIECE)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as error:
                raise WebSocketEnded(str(error)) from error
            if not data:
                if self._arrived:
                    break
                raise WebSocketEnded(self._why())
            self._digest(data)
            if self._rests(len(data), taken):
                break
        self._collect()
        if not (self._arrived or self._is_open):
            raise WebSocketEnded(self._why())
        arrived, self._arrived = self._arrived, []
        return arrived

    def close(self) -> None:
        self.sock.close()

    def _rests(self, size: int, taken: int) -> bool:
        """Whether what comes now is noticed, which TLS may have taken already."""
        if isinstance(self.sock, ssl.SSLSocket):
            return taken >= _AT_ONCE and not self.sock.pending()
        return taken >= _AT_ONCE or size < _PIECE

    def _shake_hands(self) -> None:
        """What follows the other side's answer may be its farewell, and have come with it."""
        from websockets.protocol import State

        self._collect()
        self.sock.sendall(self._pending)
        self._pending = b""
        while self._protocol.state is State.CONNECTING:
            data = self.sock.recv(_PIECE)
            if not data:
                raise WebSocketEnded("it was closed before it was open")
            self._digest(data)
            if self._protocol.handshake_exc:
                raise WebSocketEnded(str(self._protocol.handshake_exc))

    @property
    def _is_open(self) -> bool:
        from websockets.protocol import State

        return self._protocol.state is State.OPEN

    def _digest(self, data: bytes) -> None:
        from websockets.frames import Frame, Opcode

        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
                if event.data:
                    self._parts.append(bytes(event.data))
                if event.fin:
                    self._arrived.append(b"".join(self._parts))
                    self._parts.clear()

    def _collect(self) -> None:
        self._pending += b"".join(self._protocol.data_to_send())
        if len(self._pending) > _MOST_UNSENT:
            raise WebSocketEnded("the other side takes nothing of what it asks for")

    def _why(self) -> str:
        farewell = self._protocol.close_rcvd
        return f"it was closed with {farewell.code} {farewell.reason}".rstrip() if farewell else "it broke"


def need_library() -> None:
    """Raise ``ConfigError`` where it is missing."""
    if importlib.util.find_spec("websockets") is None:
        raise ConfigError(
            "the way in by the Session Manager needs a library: `pip install 'pytest-fargate-sandbox[ssm]'`",
            key="connect_via",
        )


def _protocol(url: str) -> ClientProtocol:
    from websockets.client import ClientProtocol
    from websockets.uri import parse_uri

    return ClientProtocol(parse_uri(url), max_size=_MOST)

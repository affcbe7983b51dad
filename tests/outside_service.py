"""A service on our side that speaks what services speak: HTTP, server-sent events, WebSockets, and plain TCP.

What it says can be checked to the byte by whoever knows ``content_of``.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import socketserver
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.outside_client import content_of

if TYPE_CHECKING:
    from types import TracebackType


class OutsideService:
    """``url`` for HTTP and what begins as HTTP, ``port`` for a peer that hashes what it hears and then talks itself."""

    def __init__(self) -> None:
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._plain = _PlainServer(("127.0.0.1", 0), _Plain)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.plain_url = f"http://127.0.0.1:{self._plain.server_address[1]}"
        self._servers: list[Any] = [self._http, self._plain]
        self._threads = [
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}) for server in self._servers
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> OutsideService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that was cut is what this is for."""


class _PlainServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The same."""


class _Plain(socketserver.BaseRequestHandler):
    """Hears its client to the end, and answers then: half of the connection is closed by that time."""

    def handle(self) -> None:
        digest = hashlib.sha256()
        size = 0
        while data := self.request.recv(1 << 16):
            digest.update(data)
            size += len(data)
        self.request.sendall(digest.digest() + content_of(size, size))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if path == "/content":
            self._say(content_of(int(query["number"][0]), int(query["size"][0])))
        elif path == "/events":
            self._say_events(int(query["count"][0]), int(self.headers.get("Last-Event-ID") or 0))
        elif path == "/socket":
            self._be_a_web_socket()

    def do_POST(self) -> None:
        self._say(hashlib.sha256(self.rfile.read(int(self.headers["Content-Length"]))).digest())

    def _say(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _say_events(self, count: int, last: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(last + 1, count + 1):
            event = b"id: %d\ndata: %s\n\n" % (number, content_of(number, 60).hex().encode())
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            time.sleep(0.01)
        self.wfile.write(b"0\r\n\r\n")

    def _be_a_web_socket(self) -> None:
        """An echo (RFC 6455): frames of one length field of 16 bits, masked by the client, whole messages only."""
        accepted = hashlib.sha1(f"{self.headers['Sec-WebSocket-Key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode())
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(accepted.digest()).decode())
        self.end_headers()
        self.close_connection = True
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while head := self.rfile.read(4):
            kind, _, length = struct.unpack("!BBH", head)
            mask = self.rfile.read(4)
            message = bytes(byte ^ mask[index % 4] for index, byte in enumerate(self.rfile.read(length)))
            self.wfile.write(struct.pack("!BBH", kind, 126, length) + message)
            if kind == 0x88:
                return

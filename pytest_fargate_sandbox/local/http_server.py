"""HTTP/1.1 over a listening socket for one WSGI application: a thread a connection, and connections are kept.

The engine's clients make a handful of small calls for each sandbox. werkzeug's own server closes the connection after
every answer, which costs each call a connect, a thread and a look-up of who is asking; hence this one.
"""

from __future__ import annotations

import errno
import io
import socket
import threading
import time
import traceback
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote_to_bytes

from pytest_fargate_sandbox.leaves.sockets import wake
from pytest_fargate_sandbox.server.requests.http1 import (
    ChunkedBody,
    Disconnected,
    Malformed,
    Reader,
    RequestHead,
    SizedBody,
    chunk,
    last_chunk,
    open_body,
    read_request_head,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

PEER_IS_KNOWN = "fargate_sandbox.peer_is_known"
"""In a request's environ: what an application calls when it has seen who is asking, so that the connection may stay."""

HAND_OVER = "fargate_sandbox.hand_over"
"""What an application calls that speaks something else than HTTP from here on: the connection, and what has been read
of it already. It is closed when the application returns.
"""

_BUFFER_BYTES = 64 * 1024
_IN_MEMORY_BYTES = 1 << 20
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED)
"""Of accept(2): what passes."""
_BREATH_SEC = 0.02


class HttpServer:
    """Serves ``app`` on ``listener`` until ``close()``.

    At most ``limit`` connections are served at once, the others wait; with ``patience_sec`` a peer that neither sends
    nor takes anything for so long is hung up on. With ``strangers``, no more than so many connections may be open whose
    peer the application does not know yet: the oldest of them goes, so that nobody can shut out those it does.
    ``on_error`` is told what the application raised.
    """

    def __init__(
        self,
        listener: socket.socket,
        app: WsgiApp,
        *,
        limit: int = 4096,
        patience_sec: float | None = None,
        strangers: int | None = None,
        on_error: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._listener = listener
        self._app = app
        self._most_strangers = strangers
        self._strangers: dict[socket.socket, None] = {}
        self._slots = threading.Semaphore(limit)
        self._patience_sec = patience_sec
        self._on_error = on_error
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        threading.Thread(target=self._accept, name="http-accept", daemon=True).start()

    def close(self) -> None:
        """Stop listening and hang up on everybody."""
        with self._lock:
            open_sockets = [self._listener, *self._connections]
        for open_socket in open_sockets:
            wake(open_socket)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            self._slots.acquire()
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                self._slots.release()
                if error.errno not in _EXHAUSTED:
                    return  # closed
                self._make_room()
                continue
            try:
                threading.Thread(target=self._serve, args=(connection,), name="http-connection", daemon=True).start()
            except RuntimeError:  # there is no thread to be had for the moment: he comes again
                connection.close()
                self._slots.release()
                self._make_room()

    def _serve(self, connection: socket.socket) -> None:
        self._welcome(connection)
        try:
            connection.settimeout(self._patience_sec)
            if connection.family == socket.AF_INET:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader = Reader(connection.recv)
            while _Exchange(connection, self._app, partial(self._meet, connection)).run(reader):
                pass
        except OSError:
            pass  # the peer hung up
        except Exception:  # of an application that began to answer: nothing more can be said
            self._on_error(traceback.format_exc())
        finally:
            with self._lock:
                self._connections.discard(connection)
                self._strangers.pop(connection, None)
            connection.close()
            self._slots.release()

    def _welcome(self, connection: socket.socket) -> None:
        with self._lock:
            self._connections.add(connection)
            if self._most_strangers is None:
                return
            self._strangers[connection] = None
            crowded = len(self._strangers) > self._most_strangers
        if crowded:
            self._turn_away_oldest()

    def _turn_away_oldest(self) -> None:
        with self._lock:
            oldest = next(iter(self._strangers), None)
            self._strangers.pop(oldest, None)  # type: ignore[arg-type]
        if oldest is not None:
            wake(oldest)

    def _make_room(self) -> None:
        """The process or the machine has no descriptor or no thread left: those of strangers can be had."""
        self._turn_away_oldest()
        time.sleep(_BREATH_SEC)

    def _meet(self, connection: socket.socket) -> None:
        with self._lock:
            self._strangers.pop(connection, None)


def _linger(connection: socket.socket) -> None:
    """Take what the peer still sends: closing a socket with unread bytes resets it, and our last words are lost."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(1.0)
    for _ in range(16):
        if not connection.recv(_BUFFER_BYTES):
            return


class _Exchange:
    """One request and its answer."""

    def __init__(self, connection: socket.socket, app: WsgiApp, meet: Callable[[], None]) -> None:
        self._connection = connection
        self._app = app
        self._meet = meet
        self._reader: Reader
        self._head = b""
        self._chunks = True  # whether the peer understands chunks: not so in HTTP/1.0, where the end is the close
        self._chunked = False
        self._method = ""
        self._keep = True

    def run(self, reader: Reader) -> bool:
        """Read, answer, and say whether the connection is good for another."""
        self._reader = reader
        try:
            head = read_request_head(reader, foreign=True)
            body = open_body(reader, head.fields, foreign=True)
            incoming = _wsgi_input(body, head.fields)
        except Malformed as error:
            self.refuse(HTTPStatus.BAD_REQUEST, str(error))
            return False
        except Disconnected as end:
            if end.midway:
                self.refuse(HTTPStatus.BAD_REQUEST, str(end))
            return False
        # botocore expects it for files: https://github.com/boto/botocore/blob/1.44.8/botocore/handlers.py#L380
        if head.fields.get("expect", "").lower() == "100-continue":
            self._connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._method = head.method
        self._chunks = head.version != "HTTP/1.0"
        self._keep = head.keep_alive
        try:
            self._answer({**self._environ(head), "wsgi.input": incoming})
            while body.read():
                pass  # what nobody wanted, so that the next request begins where this one ends
        except (Malformed, Disconnected):
            return False
        return self._keep

    def refuse(self, status: HTTPStatus, reason: str) -> None:
        text = reason.encode()
        self._keep = False
        self._start(f"{status.value} {status.phrase}", [("Content-Type", "text/plain"), ("Content-Length", len(text))])
        self._connection.sendall(self._head + text)
        _linger(self._connection)

    def _hand_over(self) -> tuple[socket.socket, Reader]:
        self._keep = False
        return self._connection, self._reader

    def _environ(self, head: RequestHead) -> dict[str, Any]:
        path, _, query = head.target.partition("?")
        host, port = self._server_name()
        return {
            "REQUEST_METHOD": head.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1"),
            "QUERY_STRING": query,
            "RAW_URI": head.target,
            "REQUEST_URI": head.target,
            "SERVER_NAME": host,
            "SERVER_PORT": port,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            PEER_IS_KNOWN: self._meet,
            HAND_OVER: self._hand_over,
            **_wsgi_headers(head.fields),
        }

    def _server_name(self) -> tuple[str, str]:
        if self._connection.family != socket.AF_INET:
            return "127.0.0.1", "80"
        host, port = self._connection.getsockname()
        return host, str(port)

    def _start(self, status: str, headers: list[tuple[str, Any]], _exc_info: Any = None) -> Callable[[bytes], None]:
        names = {name.lower() for name, _ in headers}
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
        bodiless = self._method == "HEAD" or status[:3] in ("204", "304")
        if "content-length" not in names and not bodiless:
            self._chunked = self._chunks
            lines += ["Transfer-Encoding: chunked"] if self._chunks else []
        if not self._keep:
            lines.append("Connection: close")
        self._head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        return self._send

    def _answer(self, environ: dict[str, Any]) -> None:
        answer = self._app(environ, self._start)
        try:
            for part in answer:
                self._send(part)
            if self._chunked:
                self._connection.sendall(self._head + last_chunk())
            elif self._head:
                self._connection.sendall(self._head)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()

    def _send(self, part: bytes) -> None:
        if not part:
            return
        if self._chunked:
            part = chunk(part)
        head, self._head = self._head, b""
        if self._method == "HEAD":
            self._connection.sendall(head)
        elif len(part) < _IN_MEMORY_BYTES:
            self._connection.sendall(head + part)
        else:
            self._connection.sendall(head)
            view = memoryview(part)
            for start in range(0, len(part), _IN_MEMORY_BYTES):  # the patience is for each piece, not for a gigabyte
                self._connection.sendall(view[start : start + _IN_MEMORY_BYTES])


def _wsgi_headers(fields: dict[str, str]) -> dict[str, Any]:
    environ: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for name, value in fields.items():
        key = name.upper().replace("-", "_")
        if name not in ("content-type", "content-length"):
            key = "HTTP_" + key
        if "_" in name:
            # S3's metadata keys may hold underscores, which WSGI's names cannot tell from dashes: moto reads this (in
            # small letters, as S3 keeps them): https://github.com/getmoto/moto/blob/5.2.5/moto/core/request.py#L30.
            # Under any other name one header would stand in for another, signed one.
            if not name.startswith("x-amz-meta-"):
                continue
            spelled[key] = name
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return {**environ, "moto.preserved_header_names": spelled}


def _wsgi_input(body: SizedBody | ChunkedBody, fields: dict[str, str]) -> BinaryIO:
    """In memory where it is small, else as it comes."""
    small = int(fields.get("content-length", "0")) <= _IN_MEMORY_BYTES
    if isinstance(body, SizedBody) and small and "expect" not in fields:
        return io.BytesIO(b"".join(iter(body.read, b"")))
    return io.BufferedReader(_BodyFile(body), _BUFFER_BYTES)


class _BodyFile(io.RawIOBase):
    def __init__(self, body: SizedBody | ChunkedBody) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._body.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)

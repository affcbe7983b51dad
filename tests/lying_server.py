"""A server that speaks the exec server's protocol, and breaks it: a lie for each way in which it can be broken.

A lie is given the conversation after a request has come, and says what it likes until the client hangs up.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.server.requests.http1 import Disconnected, Payload, Reader, open_body, read_request_head

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
_MEGABYTE = bytes(MIB)
DONE = {"running": False, "return_code": 0, "duration": 0.1, "stdout_total": 0, "stderr_total": 0}


class Talk:
    """One request, and the way to answer it."""

    def __init__(self, connection: socket.socket, verb: str, number: int, asked: bytes = b"") -> None:
        self._connection = connection
        self.verb = verb
        self.asked = asked
        """The message, with the beginning of a payload perhaps."""
        self.number = number
        """How many requests this server has had before."""

    def send(self, *parts: bytes) -> None:
        self._connection.sendall(b"".join(parts))

    def send_for_ever(self, piece: bytes, pause: float = 0.0) -> None:
        while True:
            self._connection.sendall(piece)
            if pause:
                time.sleep(pause)

    def wait(self) -> None:
        """Say nothing until the client goes."""
        while self._connection.recv(65536):
            pass

    def answer(self, body: bytes, status: int = 200) -> None:
        self.send(sized(len(body), status), body)


def sized(size: int, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d So\r\nContent-Length: %d\r\n\r\n" % (status, size)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def frame(kind: bytes, data: bytes = b"", size: int | None = None) -> bytes:
    return kind + (len(data) if size is None else size).to_bytes(4, "big") + data


def result(**changes: Any) -> bytes:
    return frame(b"r", json.dumps({**DONE, **changes}).encode())


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


FILE = line(mode=0o644, mtime_ns=0)


class LyingServer:
    """Listens on loopback; ``lie`` answers each request but that to learn what it will be asked."""

    def __init__(self, lie: Callable[[Talk], None]) -> None:
        self._lie = lie
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._count = itertools.count()
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def __enter__(self) -> LyingServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _start(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True, name="lying server")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._start(self._talk, connection)

    def _talk(self, connection: socket.socket) -> None:
        reader = Reader(connection.recv)
        with connection, contextlib.suppress(OSError, Disconnected):
            while True:
                head = read_request_head(reader)
                asked = b""
                if head.method == "POST":
                    body = Payload(open_body(reader, head.fields))
                    asked = body.read()
                    while body.read():
                        pass
                talk = Talk(connection, head.target.rpartition("/")[2], next(self._count), asked)
                if talk.verb == "learn":
                    talk.answer(b"{}\n")
                else:
                    self._lie(talk)

"""A listening socket on loopback, whose connections go into the tunnel."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.sockets import wake
from pytest_fargate_sandbox.leaves.waiting import pauses

if TYPE_CHECKING:
    from collections.abc import Callable

_JOIN_SECONDS = 5.0


class LocalListener:
    """A listening socket; each connection is handed to ``on_connection`` in this listener's one thread."""

    def __init__(self, sock: socket.socket, on_connection: Callable[[socket.socket], None], name: str) -> None:
        self._socket = sock
        self._on_connection = on_connection
        self._closed = threading.Event()
        self.port: int = sock.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        wake(self._socket)
        self._thread.join(_JOIN_SECONDS)
        self._socket.close()

    def _accept(self) -> None:
        breath = pauses(0.01, 0.5)
        while not self._closed.is_set():
            try:
                sock, _ = self._socket.accept()
            except OSError:
                # The client is gone already, or we are out of descriptors for the moment.
                self._closed.wait(next(breath))
                continue
            breath = pauses(0.01, 0.5)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._on_connection(sock)

"""The listeners that sessions of the engine's own sidecar opened for their clients."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.sockets import LOOPBACK
from pytest_fargate_sandbox.providers.ssh.local_listener import LocalListener

if TYPE_CHECKING:
    from collections.abc import Callable


class ReversePorts:
    """At most one listener a port. A new session takes a port over: its client is the old one's, connected again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[int, tuple[object, LocalListener]] = {}

    def open(self, owner: object, port: int, on_connection: Callable[[socket.socket, int], None]) -> int:
        """Listen on 127.0.0.1:``port`` (0: any); which port it is."""
        with self._lock:
            self._close(port)
            sock = socket.create_server((LOOPBACK, port))
            opened: int = sock.getsockname()[1]
            listener = LocalListener(sock, lambda accepted: on_connection(accepted, opened), "reverse port")
            self._listeners[opened] = (owner, listener)
            return opened

    def close(self, owner: object, port: int) -> None:
        with self._lock:
            if port in self._listeners and self._listeners[port][0] is owner:
                self._close(port)

    def close_all_of(self, owner: object) -> None:
        with self._lock:
            for port in [port for port, (its_owner, _) in self._listeners.items() if its_owner is owner]:
                self._close(port)

    def _close(self, port: int) -> None:
        if port in self._listeners:
            self._listeners.pop(port)[1].close()

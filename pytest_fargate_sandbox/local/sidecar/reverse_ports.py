"""The listeners that sessions of the engine's own sidecar opened for their clients."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.sockets import Listener
from pytest_fargate_sandbox.providers.ssh.local_listener import LocalListener

if TYPE_CHECKING:
    from collections.abc import Callable


class ReversePorts:
    """At most one listener at a place. A new session takes it over: its client is the old one's, connected again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[Listener, tuple[object, LocalListener]] = {}

    def open(self, owner: object, at: Listener, on_connection: Callable[[socket.socket, Listener], None]) -> int:
        """Listen there (port 0: any); which port it is."""
        with self._lock:
            self._close(at)
            sock = socket.create_server(at)
            opened = Listener(*sock.getsockname())
            listener = LocalListener(sock, lambda accepted: on_connection(accepted, opened), "reverse port")
            self._listeners[opened] = (owner, listener)
            return opened.port

    def close(self, owner: object, at: Listener) -> None:
        with self._lock:
            if at in self._listeners and self._listeners[at][0] is owner:
                self._close(at)

    def close_all_of(self, owner: object) -> None:
        with self._lock:
            for at in [at for at, (its_owner, _) in self._listeners.items() if its_owner is owner]:
                self._close(at)

    def _close(self, at: Listener) -> None:
        if at in self._listeners:
            self._listeners.pop(at)[1].close()

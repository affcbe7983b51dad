"""The tunnels that are served, by what their clients call them."""

import socket
import threading

from pytest_fargate_sandbox.server.tunnel.inner_end import InnerEnd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_SUCCESSION_SEC = 5.0


class _Served:
    def __init__(self, carrier: socket.socket, only_port: int) -> None:
        self.carrier = carrier
        self.end = InnerEnd(carrier, only_port)
        self.over = threading.Event()


class Tunnels:
    """``only_port`` is where they lead to, if not to all ports."""

    def __init__(self, only_port: int = 0) -> None:
        self._only_port = only_port
        self._lock = threading.Lock()
        self._served: "dict[str, _Served]" = {}

    def __contains__(self, name: str) -> bool:
        return name in self._served

    def serve(self, name: str, number: int, carrier: socket.socket, early: bytes, begin: "Callable[[], None]") -> None:
        """Returns when the carrier is not needed any more; ``begin`` says to whoever waits at it that it is served.

        The first one of a name takes the place, and the ports, of the tunnel before; any other joins it.
        """
        if number:
            begin()
            with self._lock:
                joined = self._served.get(name)
            if joined:
                joined.end.join(carrier, number, early)
            return
        served = _Served(carrier, self._only_port)
        with self._lock:
            before = self._served.get(name)
            self._served[name] = served

        def succeed() -> None:
            if before:
                _end(before)
            begin()

        try:
            served.end.serve(early, succeed)
        finally:
            with self._lock:
                if self._served.get(name) is served:
                    del self._served[name]
            served.over.set()


def _end(served: _Served) -> None:
    """Its listeners are closed when this returns."""
    try:
        served.carrier.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It has ended by itself.
    served.over.wait(_SUCCESSION_SEC)

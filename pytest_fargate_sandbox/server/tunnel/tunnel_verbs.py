"""The verb ``tunnel``: what comes on this connection from then on are records."""

import socket
import threading

from pytest_fargate_sandbox.server.message import REQUIRED, Message
from pytest_fargate_sandbox.server.requests.http1 import answer_head
from pytest_fargate_sandbox.server.tunnel.inner_end import InnerEnd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.requests.verbs import Verbs

_SUCCESSION_SEC = 5.0


class Tunnel(Message):
    """``id`` is the client's: a tunnel that it opens anew takes the place, and the ports, of the one before."""

    VERB = "tunnel"
    id: str
    FIELDS = {"id": (str, REQUIRED)}


def requests(_verbs: "Verbs") -> "list[tuple[type[Message], Callable[[Exchange, Any], None]]]":
    """Each request with who answers it."""
    tunnels = Tunnels()
    return [(Tunnel, tunnels.serve)]


class Tunnels:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: "dict[str, tuple[socket.socket, threading.Event]]" = {}

    def serve(self, exchange: "Exchange", request: Tunnel) -> None:
        carrier, early = exchange.take_over()
        over = threading.Event()
        with self._lock:
            before = self._served.get(request.id)
            self._served[request.id] = (carrier, over)
        try:
            if before:
                _end(*before)
            carrier.sendall(answer_head(200, 0))
            InnerEnd(carrier).serve(early)
        finally:
            with self._lock:
                if self._served.get(request.id) == (carrier, over):
                    del self._served[request.id]
            over.set()


def _end(carrier: socket.socket, over: threading.Event) -> None:
    """Its listeners are closed when this returns."""
    try:
        carrier.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It has ended by itself.
    over.wait(_SUCCESSION_SEC)

"""The verb ``tunnel``: what comes on this connection from then on are records."""

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.message import REQUIRED, Message
from pytest_fargate_sandbox.server.requests.http1 import answer_head
from pytest_fargate_sandbox.server.tunnel.tunnels import Tunnels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.requests.verbs import Verbs


class Tunnel(Message):
    """``id`` is the client's: a tunnel that it opens anew takes the place, and the ports, of the one before.

    ``carrier`` is the number of this connection in it: one that is not 0 joins the tunnel of that id.
    """

    VERB = "tunnel"
    id: str
    carrier: int
    FIELDS = {"id": (str, REQUIRED), "carrier": (int, 0)}


def requests(_verbs: "Verbs") -> "list[tuple[type[Message], Callable[[Exchange, Any], None]]]":
    """Each request with who answers it."""
    tunnels = Tunnels()

    def serve(exchange: "Exchange", request: Tunnel) -> None:
        if request.carrier and request.id not in tunnels:
            raise Failure("not_found", "there is no tunnel of that id to join")
        carrier, early = exchange.take_over()
        tunnels.serve(request.id, request.carrier, carrier, early, lambda: carrier.sendall(answer_head(200, 0)))

    return [(Tunnel, serve)]

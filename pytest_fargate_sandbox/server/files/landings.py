"""Which upload has reached its place: one that is sent again, since its connection broke, lands once all the same.

The attempt that broke may wait for the rest; be whole, about to be moved; or be stuck in the connection, to come when
its client has long gone on. Each that begins anew stages for itself, and whichever is first at the last step, the move,
is the only one.
"""

import threading
from collections import OrderedDict

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files.long_payload import LongPayload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.requests.http1 import Payload

    Land = Callable[[Callable[[], None]], None]
    """Does the last step of an upload, the one that is seen, or finds that it was done."""

_REMEMBERED = 1024
"""Far more than can still be on their way: each thread of a client makes its attempts one behind the other."""


class Landing:
    """One upload, however often it is sent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.done = False
        self.payload: "LongPayload | None" = None
        """By which the newest attempt comes."""

    def once(self, move: "Callable[[], None]") -> None:
        """``move``, unless an earlier attempt has; one that is about to is waited for."""
        with self._lock:
            if not self.done:
                move()
                self.done = True


def at_once(move: "Callable[[], None]") -> None:
    """For what nobody sends again."""
    move()


_lock = threading.Lock()
_known: "OrderedDict[str, Landing]" = OrderedDict()


def landing_of(upload_id: str) -> Landing:
    """What all attempts with this id share; without an id, each is its own."""
    if not upload_id:
        return Landing()
    with _lock:
        landing = _known.pop(upload_id, None) or Landing()
        _known[upload_id] = landing
        while len(_known) > _REMEMBERED:
            _known.popitem(last=False)
        return landing


def take_upload(exchange: "Exchange", request: "Any", write: "Callable[[Payload, Land], None]") -> None:
    """``write``, whose last step goes through ``land``; what has landed is not even begun."""
    landing = landing_of(request.id)
    if landing.done:
        exchange.drain()
    elif not request.id:
        write(exchange.payload, landing.once)
    elif not request.skip:
        _begin(landing, LongPayload(exchange), write)
    elif landing.payload:
        landing.payload.go_on(exchange, request.skip)
    else:
        raise Failure("checksum", "nothing is here any more of what came before byte %d" % request.skip)


def _begin(landing: Landing, payload: LongPayload, write: "Callable[[Payload, Land], None]") -> None:
    before, landing.payload = landing.payload, payload
    if before:
        before.end()
    failure = None
    try:
        write(payload, landing.once)
    except Failure as reason:
        failure = reason
        raise
    finally:
        payload.end(failure)
        if landing.payload is payload:
            landing.payload = None

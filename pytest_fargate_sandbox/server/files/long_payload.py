"""What is uploaded, over as many requests as it comes by: each goes on where the connection of the last one broke.

Whoever writes the file or the tree reads on and knows nothing of it. The request that goes on lends its payload to the
one that began, waits for what becomes of it, and answers that.
"""

import threading

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.requests.http1 import BLOCK, Disconnected, Payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytest_fargate_sandbox.server.requests.exchange import Exchange

_COMES_AGAIN_SEC = 30.0
"""How long what came so far is kept for a client that may come again."""

_STOP_SEC = 20.0


class LongPayload(Payload):
    def __init__(self, exchange: "Exchange") -> None:
        Payload.__init__(self, exchange.payload.body)
        self._exchange = exchange
        exchange.on_give_up = self.end
        self._changed = threading.Condition()
        self._taken = 0
        self._is_broken = False
        self._is_over = False
        self._failure: "Failure | None" = None

    # --- for whoever writes ---------------------------------------------------------------------------------------
    def read(self, most: int = BLOCK) -> bytes:
        while True:
            exchange = self._exchange
            try:
                data = exchange.payload.read(most)
                self._taken += len(data)
                return data
            except (Disconnected, ConnectionError):
                if not self._has_another(exchange):
                    raise

    def _has_another(self, exchange: "Exchange") -> bool:
        """Whether a request came in time that goes on."""
        with self._changed:
            self._is_broken = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._exchange is not exchange or self._is_over, _COMES_AGAIN_SEC)
            return self._exchange is not exchange

    def end(self, failure: "Failure | None" = None) -> None:
        """It has become what it was to become, or nothing comes of it."""
        with self._changed:
            if not self._is_over:
                self._is_over, self._failure = True, failure
            self._changed.notify_all()

    # --- for whoever comes again ----------------------------------------------------------------------------------
    def stop(self) -> int:
        """Cut what it comes by, if that still stands; how much came."""
        with self._changed:
            self._exchange.cut()
            self._changed.wait_for(lambda: self._is_broken or self._is_over, _STOP_SEC)
            return 0 if self._is_over else self._taken

    def go_on(self, exchange: "Exchange", offset: int) -> None:
        """With what this one brings. Raises what the writer has failed with."""
        with self._changed:
            if self._is_over or not self._is_broken or offset != self._taken:
                raise Failure("checksum", "what came before byte %d of it is not here any more" % offset)
            self._exchange, self._is_broken = exchange, False
            exchange.on_give_up = self.end
            self.body = exchange.payload.body
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_over or self._is_broken or self._exchange is not exchange)
            if self._failure:
                raise self._failure
            if not self._is_over:
                raise Disconnected("the connection broke once more", midway=False)

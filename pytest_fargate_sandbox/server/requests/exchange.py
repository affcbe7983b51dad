"""One request and its answer, as a verb sees them."""

import socket

from pytest_fargate_sandbox.server.commands.waker import Waker
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.message import Message
from pytest_fargate_sandbox.server.protocol import DIGEST_TRAILER, FAILURE_TRAILER
from pytest_fargate_sandbox.server.requests.http1 import Payload, answer_head, digested, last_chunk, send_chunked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable

    from pytest_fargate_sandbox.server.commands.command_user import CommandUser

_DRAIN_LIMIT = 8 * 1024 * 1024
"""How much of an unwanted body is read to keep its connection; beyond that the answer ends the connection."""


class Exchange:
    waker: Waker
    """Of whoever has shown the token, and of nobody else."""

    tenant: "CommandUser | None" = None
    """In whose name it is asked, if not in the machine's."""

    def __init__(self, connection: socket.socket, payload: Payload, keep_alive: bool) -> None:
        self._connection = connection
        self.payload = payload
        self.keep_alive = keep_alive
        self.on_give_up: "Callable[[], None]" = lambda: None
        self.acknowledges: "tuple[str, ...]" = ()
        """Commands whose whole answer this was: the next request on this connection says that it has arrived."""

    def fileno(self) -> int:
        return self._connection.fileno()

    def send(self, data: memoryview, wait: bool) -> int:
        return self._connection.send(data, 0 if wait else socket.MSG_DONTWAIT)

    def answer(self, message: Message) -> None:
        self._answer(200, message.to_json())

    def refuse(self, failure: Failure) -> None:
        self.drain()
        self._answer(failure.status, failure.to_json())

    def _answer(self, status: int, body: bytes) -> None:
        self._connection.sendall(answer_head(status, len(body), self.keep_alive) + body)

    def stream(self, blocks: "Iterable[bytes]", skip: int) -> None:
        """Answer with what is behind the first so many bytes, and their whole digest; should they fail, the failure."""
        import hashlib

        digest = hashlib.sha256()
        head = answer_head(200, None, self.keep_alive)
        trailers = {}

        def to_the_end() -> "Iterable[bytes]":
            try:
                yield from digested(blocks, digest, skip)
                trailers[DIGEST_TRAILER] = digest.hexdigest()
            except Failure as failure:
                trailers[FAILURE_TRAILER] = failure.to_json().decode("ascii")

        # MSG_MORE: the kernel joins the small pieces around a large block to it.
        pending = send_chunked(lambda data: self._connection.sendall(data, socket.MSG_MORE), head, to_the_end())
        self._connection.sendall(pending + last_chunk(trailers))

    def take_over(self) -> "tuple[socket.socket, bytes]":
        """The connection, of which this was the last request, and what has come behind it."""
        self.keep_alive = False
        return self._connection, self.payload.body.reader.rest()

    def cut(self) -> None:
        """Whoever waits for its next bytes waits in vain."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It is gone.

    def give_up(self) -> None:
        """The same, for good: what it brings is not waited for on another connection either."""
        self.cut()
        self.on_give_up()

    def drain(self) -> None:
        """Read what the client still sends."""
        left = _DRAIN_LIMIT
        while not self.payload.body.finished:
            left -= len(self.payload.read())
            if left < 0:
                self.keep_alive = False
                return

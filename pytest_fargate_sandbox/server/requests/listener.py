"""Who may speak to us, and in which thread: one for each connection, which stays open for many requests."""

import os
import select
import socket
import struct
import sys
import threading
import time

from pytest_fargate_sandbox.server.commands.waker import Waker
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import HEALTH_PATH
from pytest_fargate_sandbox.server.requests.exchange import Exchange
from pytest_fargate_sandbox.server.requests.guests import Guests
from pytest_fargate_sandbox.server.requests.http1 import (
    Disconnected,
    Malformed,
    Payload,
    Reader,
    RequestHead,
    SizedBody,
    open_body,
    read_request_head,
)
from pytest_fargate_sandbox.server.requests.verbs import Verbs

try:  # hashlib and hmac load all of OpenSSL, a tenth of what the server takes to start
    from _operator import _compare_digest as compare_digest

    try:
        from _sha2 import sha256  # type: ignore[import-not-found]
    except ImportError:  # before Python 3.12
        from _sha256 import sha256  # type: ignore[import-not-found]
except ImportError:
    from hashlib import sha256
    from hmac import compare_digest  # type: ignore[no-redef]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_REST_SEC = 0.05
_FAREWELL_SEC = 2.0
_STRANGER_SEC = 30
"""How long a connection that has not shown the token may take to say something."""

_NO_TIMEOUT = struct.pack("@ll", 0, 0)
_STRANGER_TIMEOUT = struct.pack("@ll", _STRANGER_SEC, 0)


class Listener:
    """Accepts on loopback, for ever."""

    def __init__(self, port: int, token_sha256: str, verbs: Verbs) -> None:
        self._token_sha256 = token_sha256
        self._verbs = verbs
        self._guests = Guests()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", port))
        self._socket.listen(128)

    def serve(self, alarm: int) -> "NoReturn":
        """Until a signal's handler raises; ``alarm`` is readable then, whichever thread the kernel chose for it."""
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        poller.register(alarm, select.POLLIN)
        while True:
            if self._socket.fileno() not in dict(poller.poll()):
                os.read(alarm, 64)
                continue
            try:
                connection, _ = self._socket.accept()
            except OSError:  # Out of descriptors, for now, or a client that went away.
                self._guests.turn_away_oldest()
                time.sleep(_REST_SEC)
                continue
            self._guests.welcome(connection)
            try:
                threading.Thread(target=self._talk, args=(connection,), name="connection", daemon=True).start()
            except RuntimeError:  # No thread to be had: the client tries again.
                self._guests.leave(connection)
                connection.close()
                self._guests.turn_away_oldest()

    def _talk(self, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Conversation(connection, self._token_sha256, self._verbs, self._guests).hold()
        except OSError:
            pass  # The client went away, which is its right.
        finally:
            self._guests.leave(connection)  # Before it is closed, or its number could be another's by then.
            connection.close()


class Conversation:
    """The requests of one connection, one behind the other."""

    def __init__(self, connection: socket.socket, token_sha256: str, verbs: Verbs, guests: Guests) -> None:
        self._connection = connection
        self._token_sha256 = token_sha256.encode("ascii")
        self._verbs = verbs
        self._guests = guests
        self._reader = Reader(connection.recv)
        self._trusted = ""
        self._waker: "Waker | None" = None
        self._unacknowledged: "tuple[str, ...]" = ()

    def hold(self) -> None:
        try:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _STRANGER_TIMEOUT)
            while self._serve_one():
                pass
        finally:
            if self._waker:
                self._waker.close()

    def _serve_one(self) -> bool:
        """Whether another request may follow."""
        no_body = Payload(SizedBody(self._reader, 0))
        exchange = Exchange(self._connection, no_body, False)
        try:
            head = read_request_head(self._reader)
            exchange.keep_alive = head.keep_alive
            waker = self._admit(head)
            if head.method == "GET" and head.target == HEALTH_PATH:
                self._verbs.health(exchange)
                return exchange.keep_alive
            if waker is None:
                raise Failure("unauthorized", "this sandbox's bearer token is wanted")
            exchange.waker = waker
            self._acknowledge()
            exchange.payload = Payload(open_body(self._reader, head.fields))
            self._answer(exchange, head)
            if not exchange.keep_alive:
                self._hang_up()
        except (Malformed, Failure) as reason:  # No HTTP of ours, or a stranger: whatever comes now is no request.
            exchange.keep_alive = False
            exchange.payload = no_body
            exchange.refuse(Failure(reason.kind, str(reason)))
            self._hang_up()
        except Disconnected as reason:
            exchange.keep_alive = False
            if reason.midway:
                exchange.payload = no_body
                exchange.refuse(Failure("bad_request", str(reason)))
        return exchange.keep_alive

    def _admit(self, head: RequestHead) -> "Waker | None":
        """Whoever has the token is no stranger from then on, and gets what it takes to run commands."""
        if not self._has_token(head):
            return None
        if not self._guests.recognise(self._connection):
            raise Disconnected("there is no place left", midway=False)
        if self._waker is None:
            self._waker = Waker()
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _NO_TIMEOUT)
        return self._waker

    def _has_token(self, head: RequestHead) -> bool:
        given = head.fields.get("authorization", "")
        # Compared as a whole with what was right before on this connection, else by digest: in constant time, both.
        if self._trusted and compare_digest(given.encode("latin-1"), self._trusted.encode("latin-1")):
            return True
        scheme, _, token = given.partition(" ")
        digest = sha256(token.encode("latin-1")).hexdigest().encode("ascii")
        if not compare_digest(digest, self._token_sha256) or scheme != "Bearer":
            return False
        self._trusted = given
        return True

    def _acknowledge(self) -> None:
        for command_id in self._unacknowledged:
            self._verbs.commands.forget(command_id)
        self._unacknowledged = ()

    def _answer(self, exchange: Exchange, head: RequestHead) -> None:
        try:
            self._verbs.answer(exchange, head)
        except Failure as failure:
            exchange.refuse(failure)
        except (Malformed, Disconnected):
            raise
        except OSError as error:
            if isinstance(error, (ConnectionError, BlockingIOError)):
                raise
            exchange.refuse(Failure.of_os_error(error))
        except Exception:
            # A bug of ours: said to the client and to the container's log, and the sandbox lives on.
            import traceback

            traceback.print_exc(file=sys.stderr)
            exchange.keep_alive = False
            exchange.refuse(Failure("internal", "the server failed: " + traceback.format_exc().strip()[-2000:]))
        self._unacknowledged = exchange.acknowledges
        if exchange.keep_alive:
            exchange.drain()

    def _hang_up(self) -> None:
        """Read on for a moment: closing on unread bytes would reset the connection and take our answer with it."""
        self._connection.shutdown(socket.SHUT_WR)
        self._connection.settimeout(_FAREWELL_SEC)
        end = time.monotonic() + _FAREWELL_SEC
        while time.monotonic() < end and self._connection.recv(1 << 20):
            pass

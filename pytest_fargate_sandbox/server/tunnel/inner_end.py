"""The end of a tunnel that is in the task: it connects to ports of the task's loopback, and listens there."""

import errno
import os
import re
import select
import socket
from functools import partial

from pytest_fargate_sandbox.server.tunnel.passage import Passage
from pytest_fargate_sandbox.server.tunnel.ready_sockets import READABLE, WRITABLE, Turns
from pytest_fargate_sandbox.server.tunnel.records import LISTEN, OPEN, Broken, Record

_LOOPBACK = "127.0.0.1"
_ADDRESS = re.compile(rb"(127\.[0-9.]{5,11}):([0-9]{1,5})\Z")
_PIECE = 64 * 1024
_ENOUGH = 16 * 1024
"""What is made ready at once for whoever carries it: more would keep others waiting behind it."""

_MOST_RECORD = 8 * 1024
_MOST_STREAMS = 512
"""Beyond that no further callers are taken from inside; those who ask from outside have shown the token."""


class InnerEnd:
    """Serves a ``carrier`` until it ends; ``only_port`` is where it leads to, if not to all of them."""

    def __init__(self, carrier: socket.socket, only_port: int = 0) -> None:
        self._carrier = carrier
        self._only_port = only_port
        self._turns = Turns()
        self._passage = Passage(self._turns, self._asked, first=2, most=_MOST_RECORD)
        self._listeners: "list[socket.socket]" = []
        self._outgoing = bytearray()
        self._is_over = False

    def serve(self, early: bytes = b"") -> None:
        """``early`` is what was read from the carrier already."""
        self._carrier.setblocking(False)
        self._passage.wanted = self._watch
        try:
            self._passage.beat()
            self._passage.take(early)
            while not self._is_over:
                self._turns.turn()
        except (Broken, OSError):
            pass  # Whoever is at the other end sees that it is over.
        finally:
            self._passage.close()
            for listener in self._listeners:
                listener.close()
            self._turns.close()

    # --- what carries it --------------------------------------------------------------------------------------------
    def _watch(self) -> None:
        mask = READABLE | (WRITABLE if self._outgoing or self._passage.has_more else 0)
        self._turns.watch(self._carrier, mask, self._carry)

    def _carry(self) -> None:
        try:
            data = self._carrier.recv(_PIECE)
        except BlockingIOError:
            pass
        else:
            self._is_over = not data
            self._passage.take(data)
        while len(self._outgoing) < _ENOUGH:
            record = self._passage.next_record()
            if not record:
                break
            self._outgoing += record
        try:
            del self._outgoing[: self._carrier.send(self._outgoing) if self._outgoing else 0]
        except BlockingIOError:
            pass
        self._watch()

    # --- what the other end asks for --------------------------------------------------------------------------------
    def _asked(self, record: Record) -> None:
        try:
            if record.kind == OPEN:
                self._connect(record.stream, int(record.data.decode("ascii")))
            elif record.kind == LISTEN:
                self._listen(record)
        except (OSError, ValueError, OverflowError) as error:
            self._passage.refuse(record.stream, str(getattr(error, "strerror", None) or error))

    def _connect(self, stream: int, port: int) -> None:
        if self._only_port not in (0, port):
            raise ValueError("this tunnel does not lead to port %d" % port)
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            code = sock.connect_ex((_LOOPBACK, port))
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, os.strerror(code))
            self._passage.lead(stream, sock)
        except BaseException:
            sock.close()
            raise
        self._turns.watch(sock, WRITABLE, partial(self._connected, stream, sock))

    def _connected(self, stream: int, sock: socket.socket) -> None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._passage.refuse(stream, os.strerror(code))
        else:
            self._passage.connected(stream)

    def _listen(self, record: Record) -> None:
        found = _ADDRESS.match(record.data)
        if not found or self._only_port:
            raise ValueError("only loopback is listened at")
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((found.group(1).decode("ascii"), int(found.group(2))))
            listener.listen(128)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        self._listeners.append(listener)
        self._turns.watch(listener, READABLE, partial(self._accept, listener, record.stream))
        self._passage.answer(record.stream, b"%d" % listener.getsockname()[1])

    def _accept(self, listener: socket.socket, number: int) -> None:
        try:
            caller, _ = listener.accept()
        except OSError:  # He went away, or there is no descriptor for him: either he waits, or he is gone.
            select.select([], [], [], 0.01)
            return
        if len(self._passage) >= _MOST_STREAMS:
            caller.close()
            return
        caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def answered(_record: Record) -> None:
            """Who is refused has been reset, who is let in can talk."""

        self._passage.ask(OPEN, b"%d" % number, answered, caller)

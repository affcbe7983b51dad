"""The end of a tunnel that is in the task: it connects to ports of the task's loopback, and listens there."""

import collections
import errno
import os
import re
import select
import socket
import threading
from functools import partial

from pytest_fargate_sandbox.server.tunnel.lane import WINDOW
from pytest_fargate_sandbox.server.tunnel.passage import Passage
from pytest_fargate_sandbox.server.tunnel.ready_sockets import READABLE, WRITABLE, Turns
from pytest_fargate_sandbox.server.tunnel.records import LISTEN, MARK, OPEN, Broken, Record, RecordReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_LOOPBACK = "127.0.0.1"
_ADDRESS = re.compile(rb"(127\.[0-9.]{5,11}):([0-9]{1,5})\Z")
_PIECE = 64 * 1024
_ENOUGH = 16 * 1024
"""What is made ready at once for whoever carries it: more would keep others waiting behind it."""

_MOST_RECORD = 8 * 1024
_MOST_STREAMS = 512
"""Beyond that no further callers are taken from inside; those who ask from outside have shown the token."""


class Carrier:
    """One connection by which records come and go."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.number = number
        self.reader: "RecordReader | None" = None
        """The passage's own, if none."""
        self.outgoing = bytearray()
        self.over = threading.Event()

    def send(self) -> None:
        try:
            del self.outgoing[: self.sock.send(self.outgoing) if self.outgoing else 0]
        except BlockingIOError:
            pass


class InnerEnd:
    """Serves a ``carrier`` until it ends; ``only_port`` is where it leads to, if not to all of them.

    By further ones that ``join`` goes the same: records take the carriers in turn.
    """

    def __init__(self, carrier: socket.socket, only_port: int = 0) -> None:
        self._only_port = only_port
        self._turns = Turns()
        self._passage = Passage(self._turns, self._asked, first=2, most=_MOST_RECORD)
        self._carriers = collections.deque([Carrier(carrier, 0)])
        """Those that records may go by, the next one first."""
        self._others: "set[Carrier]" = set()
        """Those that come, and those that go."""
        self._listeners: "list[socket.socket]" = []
        self._is_over = False

    def serve(self, early: bytes = b"", begin: "Callable[[], None] | None" = None) -> None:
        """``early`` is what was read from the carrier already; where ``begin`` fails, it is over for all who join."""
        self._passage.wanted = self._watch
        self._passage.left = self._leave
        try:
            if begin:
                begin()
            self._passage.beat()
            self._passage.take(early)
            while not self._is_over:
                self._turns.turn()
        except (Broken, OSError):
            pass  # Whoever is at the other end sees that it is over.
        finally:
            self._is_over = True
            self._passage.close()
            for listener in self._listeners:
                listener.close()
            try:
                self._turns.close()
            finally:
                for carrier in [*self._carriers, *self._others]:
                    carrier.over.set()

    def join(self, sock: socket.socket, number: int, early: bytes) -> None:
        """From another thread: returns when this carrier is not needed any more."""
        carrier = Carrier(sock, number)

        def begin() -> None:
            if self._is_over:
                carrier.over.set()
                return
            carrier.reader = self._passage.further_reader()
            self._others.add(carrier)
            self._watch()
            self._take(carrier, early)

        if self._turns.call(begin):
            carrier.over.wait()

    # --- what carries it --------------------------------------------------------------------------------------------
    def _watch(self) -> None:
        if self._is_over:  # who has the one that ended may have closed it
            return
        for carrier in [*self._carriers, *self._others]:
            is_next = carrier is self._carriers[0]  # the others wait for it, ready as they are
            is_wanted = carrier.outgoing or (is_next and self._passage.has_more)
            mask = READABLE | (WRITABLE if is_wanted else 0)
            self._turns.watch(carrier.sock, mask, partial(self._carry, carrier))

    def _carry(self, carrier: Carrier) -> None:
        try:
            data = carrier.sock.recv(_PIECE)
        except BlockingIOError:
            pass
        except OSError:  # reset, with the agent's process that had it
            self._ended(carrier)
            return
        else:
            if not data:
                self._ended(carrier)
                return
            self._take(carrier, data)
        while len(self._carriers[0].outgoing) < _ENOUGH:
            record = self._passage.next_record()
            if not record:
                break
            self._carriers[0].outgoing += record
            self._carriers.rotate(-1)
        try:
            carrier.send()
        except OSError:
            self._ended(carrier)
        else:
            self._watch()

    def _take(self, carrier: Carrier, data: bytes) -> None:
        reader = carrier.reader
        had_begun = reader is None or reader.has_begun
        self._passage.take(data, reader)
        if reader and reader.has_begun and not had_begun:
            self._others.discard(carrier)
            self._carriers.append(carrier)
            carrier.outgoing += MARK
            self._have_carriers()

    def _leave(self, number: int) -> None:
        """What is still to go by it goes; the other end, which is told so behind all that, is who closes it."""
        for carrier in [each for each in self._carriers if each.number == number != 0]:
            self._carriers.remove(carrier)
            self._others.add(carrier)
            self._have_carriers()
            self._passage.leave(number)

    def _have_carriers(self) -> None:
        self._passage.have_under_way(WINDOW * min(len(self._carriers), 2))

    def _ended(self, carrier: Carrier) -> None:
        """One that records go by cannot be done without: those on their way are lost."""
        self._is_over = self._is_over or carrier in self._carriers
        self._drop(carrier)

    def _drop(self, carrier: Carrier) -> None:
        self._others.discard(carrier)
        self._turns.forget(carrier.sock)
        carrier.over.set()

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

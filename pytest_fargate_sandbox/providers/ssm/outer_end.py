"""The end of a tunnel that is here: its streams as sockets, for any number of threads."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.sockets import wake
from pytest_fargate_sandbox.server.tunnel.passage import Passage
from pytest_fargate_sandbox.server.tunnel.records import LISTEN, OPEN, REFUSED, Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.leaves.sockets import Listener
    from pytest_fargate_sandbox.server.tunnel.ready_sockets import Turns

_CONNECT_SECONDS = 10.0
_SEND_BUFFER = 16 * 1024
"""What was written and waits for its turn; of SSH's, that is what all of its streams wait behind."""
_MOST_CALLERS = 256
"""From inside at once: strangers call there, and are to leave descriptors and threads for everything else."""
_MOST_STREAMS = 512
"""Beyond which nobody is let in: as the other end has it, if it is ours."""
_HIGHEST_PORT = 0xFFFF
_LONGEST_NUMBER = 10


class TunnelStream(socket.socket):
    """One of our two halves of a stream. Who waits in its ``recv`` notices its ``close``, as on an SSH channel."""

    def close(self) -> None:
        wake(self)
        super().close()


class OuterEnd:
    """``passage`` is the business of the one thread that serves ``turns``."""

    def __init__(self, turns: Turns, most: int) -> None:
        """``most`` is how long a record may be that goes in."""
        self.passage = Passage(turns, self._asked, first=1, most=most)
        self._turns = turns
        self._targets: dict[int, tuple[str, int]] = {}
        self._callers = 0

    def dial(self, port: int, timeout: float) -> socket.socket:
        """A stream to a port of the task's loopback."""
        ours, theirs = socket.socketpair()
        stream = TunnelStream(fileno=ours.detach())
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        try:
            self._ask(OPEN, b"%d" % port, timeout, f"port {port} of the task", theirs)
        except BaseException:
            stream.close()
            raise
        return stream

    def carry(self, accepted: socket.socket, port: int) -> None:
        """Lead a connection of somebody's here to a port of the task's loopback; reset it if nobody answers there."""

        def ask() -> None:
            self.passage.ask(OPEN, b"%d" % port, lambda _answer: None, accepted)

        if not self._turns.call(ask):
            accepted.close()

    def listen(self, listener: Listener, target: tuple[str, int], timeout: float) -> int:
        """A port of the task's loopback that leads to ``target`` here; which it is."""
        what = f"listening on port {listener.port} of the task"
        wanted = f"{listener.address}:{listener.port}".encode()
        answer = self._ask(LISTEN, wanted, timeout, what, target=target)
        port = _number_in(answer.data)
        if not 0 < port <= _HIGHEST_PORT:
            raise TransportError(f"{what} failed: what answers is no port")
        return port

    def _ask(
        self,
        kind: int,
        data: bytes,
        timeout: float,
        what: str,
        sock: socket.socket | None = None,
        target: tuple[str, int] | None = None,
    ) -> Record:
        future: Future[Record] = Future()
        asked: list[int] = []

        def ask() -> None:
            stream = self.passage.ask(kind, data, future.set_result, sock)
            asked.append(stream)
            if target:
                self._targets[stream] = target

        if not self._turns.call(ask):
            if sock:
                sock.close()
            raise TransportError(f"{what} cannot be reached: the tunnel has ended")
        try:
            answer = future.result(timeout)
        except Late:
            self._turns.call(lambda: self.passage.break_off(asked[0]))
            raise TransportError(f"{what} does not answer: nothing came of it in {timeout:.0f} s") from None
        if answer.kind == REFUSED:
            raise TransportError(f"{what} cannot be reached: {answer.data.decode('utf-8', 'replace')[:200]}")
        return answer

    # --- who calls from inside --------------------------------------------------------------------------------------

    def _asked(self, record: Record) -> None:
        target = self._targets.get(_number_in(record.data)) if record.kind == OPEN else None
        is_full = self._callers >= _MOST_CALLERS or self._callers + len(self.passage) >= _MOST_STREAMS
        if target is None or is_full:
            self.passage.refuse(record.stream, "nobody answers there")
            return
        self._callers += 1
        name = f"caller to {target[0]}:{target[1]}"
        threading.Thread(target=self._let_in, args=(record.stream, target), name=name, daemon=True).start()

    def _let_in(self, stream: int, target: tuple[str, int]) -> None:
        try:
            sock = socket.create_connection(target, _CONNECT_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, OverflowError) as error:
            reason = str(error)
            self._turns.call(lambda: self._done(lambda: self.passage.refuse(stream, reason)))
            return
        if not self._turns.call(lambda: self._done(lambda: self._lead(stream, sock))):
            sock.close()

    def _done(self, act: Callable[[], None]) -> None:
        self._callers -= 1
        act()

    def _lead(self, stream: int, sock: socket.socket) -> None:
        self.passage.lead(stream, sock)
        self.passage.connected(stream)


def _number_in(data: bytes) -> int:
    """Or -1, if it is none."""
    return int(data) if data.isdigit() and len(data) <= _LONGEST_NUMBER else -1

"""A tunnel whose way doubles, cuts and delays what goes in, message by message, as a session of SSM does."""

from __future__ import annotations

import random
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.sockets import wake
from pytest_fargate_sandbox.providers.ssm.outer_end import OuterEnd
from pytest_fargate_sandbox.server.tunnel.inner_end import InnerEnd
from pytest_fargate_sandbox.server.tunnel.ready_sockets import READABLE, Turns
from pytest_fargate_sandbox.server.tunnel.records import Broken

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

MESSAGE = 1016


class RoughWay:
    """``outer`` is its end here; its other end connects to ports of this machine's loopback, or is at ``carrier``."""

    def __init__(
        self,
        *,
        doubles: float = 0.0,
        delay: float = 0.0,
        inner: Callable[[socket.socket], Any] | None = None,
        carrier: socket.socket | None = None,
        seed: int = 1,
    ) -> None:
        self.doubled = 0
        self._doubles, self._delay = doubles, delay
        self._random = random.Random(seed)
        self._ours, self._theirs = (carrier, None) if carrier else socket.socketpair()
        self._turns = Turns()
        self.outer = OuterEnd(self._turns, MESSAGE)
        self.error: Exception | None = None
        self._over = False
        serve = inner or (lambda carrier: InnerEnd(carrier).serve())
        self._threads = [
            threading.Thread(target=self._run_inner, args=(serve,)),
            threading.Thread(target=self._carry),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def cut(self) -> None:
        """For good."""
        wake(self._ours)

    def _run_inner(self, serve: Callable[[socket.socket], Any]) -> None:
        if self._theirs:
            with self._theirs:
                serve(self._theirs)

    def _carry(self) -> None:
        passage = self.outer.passage
        self._turns.watch(self._ours, READABLE, self._receive)
        try:
            while not self._over:
                self._turns.turn(0 if passage.has_more else None)
                for record in iter(passage.next_record, b""):
                    assert len(record) <= MESSAGE
                    self._send(record)
        except (Broken, OSError) as error:
            self.error = error
        finally:
            passage.close()
            self._turns.close()
            self._ours.close()

    def _send(self, message: bytes) -> None:
        time.sleep(self._random.random() * self._delay)
        twice = self._random.random() < self._doubles
        self.doubled += twice
        self._ours.sendall(message * (1 + twice))

    def _receive(self) -> None:
        data = self._ours.recv(1 << 16)
        self._over = not data
        passage = self.outer.passage
        for at in range(0, len(data), 7919):  # in pieces of no meaning
            passage.take(data[at : at + 7919])

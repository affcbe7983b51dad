"""A server is brought to a task that waits for it, through a session of its own."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.server.awaited_server import TAKEN, lines_of
from pytest_fargate_sandbox.server.tunnel.ready_sockets import Turns

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.ssm.session_carrier import SessionCarrier

NUMBER = -1
"""Of a carrier that is no tunnel's."""


class _Lines:
    """As a tunnel's records are asked for."""

    def __init__(self, source: str, most: int) -> None:
        self._left = list(lines_of(source, most))[::-1]

    @property
    def has_more(self) -> bool:
        return bool(self._left)

    def next_record(self) -> bytes:
        return self._left.pop() if self._left else b""


def deliver(carrier: SessionCarrier, source: str, timeout: float) -> None:
    """Raises ``TransportError`` where it is not taken, and what ``SessionCarrier`` does."""
    heard, lines = bytearray(), _Lines(source, carrier.most)
    end = time.monotonic() + timeout
    with closing(Turns()) as turns, closing(carrier):
        carrier.connect()
        carrier.begin(turns, heard.extend, threading.Event())
        while TAKEN not in heard:
            if carrier.is_over or time.monotonic() > end:
                raise TransportError("the task does not take the server that it is brought")
            turns.turn(carrier.patience(lines.has_more))
            carrier.serve(lines, time.monotonic())

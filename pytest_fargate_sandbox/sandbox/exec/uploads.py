"""A file or a tree on its way into the sandbox: where a connection breaks, it goes on behind what has come."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves import progress_bar
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.files import file_protocol
from pytest_fargate_sandbox.server.requests.http1 import Disconnected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.sandbox.exec.exec_calls import ExecCalls


class Upload:
    """``blocks`` gives the whole each time: its digest tells whether what came before is the beginning of this."""

    def __init__(
        self,
        calls: ExecCalls,
        request: file_protocol.WriteFile | file_protocol.WriteTree,
        blocks: Callable[[], Iterator[bytes]],
    ) -> None:
        self._calls = calls
        self._request = request
        self._blocks = blocks
        self._was_tried = False
        self._arrived = self._answers = 0
        self._since = time.monotonic()
        """When more of it had arrived."""

    def to_end(self, tries: int) -> None:
        self._calls.persistently(self._attempt, tries, reached=lambda: self._arrived + self._answers)

    def _attempt(self) -> None:
        if not self._was_tried:
            self._was_tried = True
            self._send()
        elif not self._has_landed():
            try:
                self._send()
            except Disconnected:
                # Connections that live so briefly that an answer is all that comes through: one of them will do better.
                self._answers += time.monotonic() - self._since < self._calls.limits.standstill_sec
                raise

    def _has_landed(self) -> bool:
        with self._calls.open(file_protocol.Upload(id=self._request.id)) as answer:
            arrived = answer.read_message(file_protocol.Arrived)
        assert isinstance(arrived, file_protocol.Arrived)
        self._request.skip = arrived.offset
        if arrived.offset > self._arrived:
            self._arrived, self._since = arrived.offset, time.monotonic()
        return arrived.landed

    def _send(self) -> None:
        blocks = progress_bar.moving(self._blocks())
        # Else a file that is being sent when the connection breaks stays open until the garbage is collected.
        with closing(blocks), self._calls.open(self._request, blocks, skip=self._request.skip) as answer:
            answer.read_message(protocol.Nothing)

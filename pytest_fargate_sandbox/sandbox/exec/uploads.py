"""A file or a tree on its way into the sandbox: where a connection breaks, it goes on behind what has come."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.server import protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.sandbox.exec.exec_calls import ExecCalls


class Upload:
    """``blocks`` gives the whole each time: its digest tells whether what came before is the beginning of this."""

    def __init__(
        self,
        calls: ExecCalls,
        request: protocol.WriteFile | protocol.WriteTree,
        blocks: Callable[[], Iterator[bytes]],
    ) -> None:
        self._calls = calls
        self._request = request
        self._blocks = blocks
        self._was_tried = False
        self._arrived = 0

    def to_end(self, tries: int) -> None:
        self._calls.persistently(self._attempt, tries, reached=lambda: self._arrived)

    def _attempt(self) -> None:
        if self._was_tried:
            arrived = self._ask()
            if arrived.landed:
                return
            self._request.skip = arrived.offset
            self._arrived = max(self._arrived, arrived.offset)
        self._was_tried = True
        blocks = self._blocks()
        # Else a file that is being sent when the connection breaks stays open until the garbage is collected.
        with closing(blocks), self._calls.open(self._request, blocks, skip=self._request.skip) as answer:  # type: ignore[type-var]
            answer.read_message(protocol.Nothing)

    def _ask(self) -> protocol.Arrived:
        with self._calls.open(protocol.Upload(id=self._request.id)) as answer:
            arrived = answer.read_message(protocol.Arrived)
            assert isinstance(arrived, protocol.Arrived)
            return arrived

"""A payload that comes over as many connections as it takes: each goes on where the one before it broke."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.sandbox.exec.exec_calls import Answer
from pytest_fargate_sandbox.server.requests.http1 import BLOCK, AnswerHead, ChunkedBody, Disconnected, Payload

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from pytest_fargate_sandbox.sandbox.exec.exec_calls import ExecCalls
    from pytest_fargate_sandbox.server.message import Message


class LongAnswer(Answer):
    """Its digest is that of the whole, so it tells whether the parts are of one piece."""

    def __init__(self, calls: ExecCalls, request: Callable[[int], Message], tries: int) -> None:
        """``request`` asks for what comes behind so many bytes; of several ``tries`` each may begin in the middle."""
        self._body = _Body(calls, request, tries)
        super().__init__(AnswerHead(200, {}), Payload(cast(ChunkedBody, self._body)))

    @property
    def was_resumed(self) -> bool:
        return self._body.connections > 1

    def __enter__(self) -> LongAnswer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._body.leave(error)


class _Body:
    """As a ``ChunkedBody``."""

    def __init__(self, calls: ExecCalls, request: Callable[[int], Message], tries: int) -> None:
        self._calls = calls
        self._request = request
        self._endurance = calls.endurance(tries)
        self._patience = calls.patience(calls.limits.work_sec)
        self._connection = ExitStack()
        self._answer: Answer | None = None
        self._taken = self._furthest = 0
        self.connections = 0

    @property
    def finished(self) -> bool:
        return self._answer is not None and self._answer.payload.body.finished

    @property
    def trailers(self) -> dict[str, str]:
        return {} if self._answer is None else self._answer.payload.body.trailers

    def read(self, most: int = BLOCK) -> bytes:
        data = None
        while data is None:
            data = self._try_to_read(most)
        return data

    def _try_to_read(self, most: int) -> bytes | None:
        """None where the connection broke."""
        try:
            if self._answer is None:
                self.connections += 1
                opened = self._calls.open(self._request(self._taken), patience=self._patience)
                self._answer = self._connection.enter_context(opened)
            data = self._answer.payload.body.read(most)
        except (Disconnected, TransportError) as reason:
            self.leave(reason)
            if self._taken > self._furthest:
                self._furthest = self._taken
                self._endurance.begin_anew()
            if self._endurance.ends(broke=isinstance(reason, Disconnected)):
                raise
            rest = self._endurance.rest()
            self._patience.spend(rest)
            time.sleep(rest)
            return None
        self._taken += len(data)
        return data

    def leave(self, error: BaseException | None) -> None:
        """What happened is said to whoever lent the connection."""
        connection, self._connection, self._answer = self._connection, ExitStack(), None
        if error is None:
            connection.close()
        else:
            connection.__exit__(type(error), error, error.__traceback__)

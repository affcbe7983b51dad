"""Asking the exec server for artifacts, and taking no more than was asked for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.sandbox.exec.exec_calls import parsed
from pytest_fargate_sandbox.server.artifacts.artifact_protocol import DATA, FACTS, LONGEST_PATH, Piece
from pytest_fargate_sandbox.server.protocol import FRAME_HEAD_SIZE, parse_frame_head
from pytest_fargate_sandbox.server.requests.http1 import BLOCK, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.sandbox.exec.exec_calls import Answer, ExecCalls
    from pytest_fargate_sandbox.server.message import Message

T = TypeVar("T")

_SPARE_FACTS = 1000
"""Beside those of entries: of what is wrong, and of the end."""

_LONGEST_TEXT = 3 * LONGEST_PATH
"""A path with its slashes, and what is wrong with it, which may say that path again."""


class ArtifactCalls:
    """``root`` is the workspace that is not left; empty: the whole container."""

    def __init__(self, calls: ExecCalls, root: str) -> None:
        self._calls = calls
        self.root = root

    def ask(
        self,
        request: Message,
        take: Callable[[Iterator[Piece | bytes]], T],
        *,
        most_bytes: int,
        most_entries: int = 1,
        seconds: float | None = None,
    ) -> T:
        """What ``take`` makes of the answer: facts, and the bytes behind them. Where it breaks, it is begun anew.

        More than so much is no answer of ours; all attempts together may be waited for so many ``seconds``.
        """

        patience = self._calls.patience(seconds or self._calls.limits.work_sec)

        def once() -> T:
            with self._calls.open(request, patience=patience) as answer:
                return take(_pieces(answer, most_bytes, most_entries + _SPARE_FACTS))

        return self._calls.persistently(once)


def _pieces(answer: Answer, most_bytes: int, most_facts: int) -> Iterator[Piece | bytes]:
    digest = hashlib.sha256()
    while True:
        head = answer.payload.read_block(FRAME_HEAD_SIZE)
        if len(head) < FRAME_HEAD_SIZE:
            answer.check_whole()
            raise Malformed("it ends in the middle")
        kind, size = parse_frame_head(head)
        if kind == DATA:
            most_bytes -= size
        else:
            most_facts -= 1
        if min(most_bytes, most_facts) < 0 or not 0 < size <= max(BLOCK, Piece.LONGEST):
            raise Malformed("more comes than was asked for")
        body = answer.payload.read_exactly(size)
        digest.update(head + body)
        piece = body if kind == DATA else _facts(kind, body)
        if isinstance(piece, Piece) and piece.last:
            answer.end()
            answer.check_digest(digest.hexdigest())
            yield piece
            return
        yield piece


def _facts(kind: bytes, line: bytes) -> Piece:
    piece = parsed(Piece, line)
    assert isinstance(piece, Piece)
    if kind != FACTS or min(piece.size, piece.count) < 0 or len(piece.path) + len(piece.why) > _LONGEST_TEXT:
        raise Malformed(f"facts that are none: {line[:80]!r}")
    return piece

"""Bytes for a command's stdin, each sent to its place: over as many connections as it takes, they arrive once."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.requests.http1 import Malformed

if TYPE_CHECKING:
    from pytest_fargate_sandbox.sandbox.exec.exec_calls import ExecCalls

LARGE_PIECE = 1024 * 1024
_SMALL_PIECE = 16 * 1024
"""For a command that reads slowly: what it does not take in time is sent again."""


class StdinWriter:
    """One command's. What does not fit into its pipe waits here, for as long as it takes."""

    def __init__(self, calls: ExecCalls, command_id: str) -> None:
        self._calls = calls
        self._command_id = command_id
        self._lock = threading.Lock()
        self._end = 0
        """Where the next write begins."""
        self._gave_up = False

    def write(self, data: bytes, *, end: bool = False) -> None:
        """Return when the command's pipe has all of it, closed behind it if it is the ``end``.

        Raises a ``SandboxError`` of the kind ``closed`` where nobody will read it. After any exception some of it may
        have arrived; what has not will not come after what is written next.
        """
        with self._lock:
            start, self._end = self._end, self._end + len(data)
            try:
                self._send(start, memoryview(data), end)
            except BaseException:
                self._gave_up = True
                raise

    def _send(self, start: int, data: memoryview, end: bool) -> None:
        sent, size, answers = 0, LARGE_PIECE, 0

        def send_some() -> bool:
            """Whether that was all."""
            nonlocal sent, size, answers
            piece = data[sent : sent + size]
            is_last = sent + len(piece) == len(data)
            request = protocol.Write(id=self._command_id, offset=start + sent, end=end and is_last, skip=self._gave_up)
            size = 0  # Should this break, the next one only asks how far the command has come.
            taken = self._ask(request, bytes(piece), start + len(data)) - start
            answers += 1
            size = LARGE_PIECE if taken >= sent + len(piece) else _SMALL_PIECE
            sent = max(sent, taken)
            return is_last and sent == len(data)

        while not self._calls.persistently(send_some, reached=lambda: answers):
            pass
        self._gave_up = False

    def _ask(self, request: protocol.Write, piece: bytes, most: int) -> int:
        limits, asked_at = self._calls.limits, time.monotonic()
        patience = self._calls.patience(protocol.WRITE_SEC + limits.grace_sec, protocol.WRITE_SEC + limits.silence_sec)
        with self._calls.open(request, piece, patience=patience) as answer:
            answered = answer.read_message(protocol.Taken)
            assert isinstance(answered, protocol.Taken)
            if not 0 <= answered.offset <= most:
                raise Malformed(f"it has taken {answered.offset} bytes of {most}")
        if piece and answered.offset <= request.offset:
            # An honest server has waited for us. With one that does not, we shall not turn in circles.
            time.sleep(max(0.0, asked_at + protocol.WRITE_SEC - time.monotonic()))
        return answered.offset

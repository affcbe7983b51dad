"""What a terminal has to answer to the programs in it, which may ask on and on and never read an answer."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.sandbox.exec.terminal_process import TerminalProcess

_MOST = 1024
"""Of answers that nobody has read. A terminal takes 4,095 bytes, and behind them not even Ctrl-C."""


class Answers:
    """Kept until something is typed, which they precede, or else typed at once, by a thread of their own."""

    def __init__(self, process: TerminalProcess, type_: Callable[[bytes], None]) -> None:
        self._process = process
        self._type = type_
        self._lock = threading.Lock()
        self._waiting = b""
        self._is_sending = False
        self._sent = 0
        """Since the program was known to read."""

    def add(self, answer: bytes) -> None:
        with self._lock:
            if len(self._waiting) + len(answer) <= _MOST:
                self._waiting += answer

    def send(self) -> None:
        """Whoever hears the terminal must not wait for its program."""
        with self._lock:
            if not self._waiting or self._is_sending:
                return
            self._is_sending = True
        threading.Thread(target=self._send_all, name="terminal-answers", daemon=True).start()

    def take(self) -> bytes:
        """All that are waiting, or none if those before them were not read: for whoever types now, and alone."""
        with self._lock:
            waiting, self._waiting = self._waiting, b""
        if not waiting:
            return b""
        if self._sent + len(waiting) > _MOST:
            self._sent = self._process.state().unread
        if self._sent + len(waiting) > _MOST:
            return b""
        self._sent += len(waiting)
        return waiting

    def _send_all(self) -> None:
        while True:
            with suppress(SandboxError):  # It has ended, or the link will find out what else is wrong.
                self._type(b"")
            with self._lock:
                if not self._waiting:
                    self._is_sending = False
                    return

"""The line to a terminal in a sandbox: what it says comes here as it says it, what is typed here goes there once."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.exec.exec_calls import misbehaviour
from pytest_fargate_sandbox.sandbox.exec.exec_frames import is_all
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.requests.http1 import Malformed

if TYPE_CHECKING:
    from pytest_fargate_sandbox.sandbox.exec.process import Process

_WAIT_SEC = 20.0
_MOST_AT_ONCE = 8 * 1024 * 1024
_MOST_NOTES = 64 * 1024 * 1024
"""Two million commands' worth: more is a flood, by something in the sandbox that has found the pipe."""


class Listener(Protocol):
    """Who hears a terminal, in the thread of the link."""

    def said(self, screen: bytes, notes: bytes) -> None:
        """What came for the screen, and on the pipe beside it."""

    def ended(self, result: protocol.Result | None, error: SandboxError | None) -> None:
        """The last that is heard: how its command ended, or why nobody will know."""


class TerminalLink(threading.Thread):
    """Follows the terminal to its end. Each answer tells the server that the one before has arrived."""

    def __init__(self, process: Process, name: str, listener: Listener) -> None:
        super().__init__(name=f"terminal-{name}", daemon=True)
        self._process = process
        self._listener = listener
        self._is_closed = False

    def close(self) -> None:
        """Nobody listens any more."""
        self._is_closed = True

    def run(self) -> None:
        try:
            self._listen()
        except Exception as error:
            # Or whoever waits for what comes would wait for ever.
            self._listener.ended(None, SandboxError(f"what a terminal said could not be taken in: {error!r}"))
            with suppress(SandboxError):
                self._process.kill()
            raise

    def _listen(self) -> None:
        try:
            result = self._follow()
            if result is not None:
                self._process.explain(result)
        except SandboxError as error:
            self._listener.ended(None, error)
        else:
            if result is not None:
                self._listener.ended(result, None)

    def _follow(self) -> protocol.Result | None:
        """How it stands at its end; None where nobody listens any more."""
        screen = notes = 0
        while not self._is_closed:
            result, output = self._process.look(screen, notes, _WAIT_SEC, _MOST_AT_ONCE)
            screen += len(output[protocol.STDOUT])
            notes += len(output[protocol.STDERR])
            self._listener.said(output[protocol.STDOUT], output[protocol.STDERR])
            if notes > _MOST_NOTES:
                self._process.kill()
                raise SandboxError("the pipe beside a terminal was flooded by something in the sandbox")
            try:
                if is_all(result, screen, notes, is_silent=not any(output.values())):
                    return result
            except Malformed as reason:
                raise misbehaviour(reason) from None
        return None

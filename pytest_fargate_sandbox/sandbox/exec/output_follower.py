"""Tells what a command in the background says, as it says it."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.exec.exec_calls import misbehaviour
from pytest_fargate_sandbox.sandbox.exec.exec_frames import OutputChunk, is_all
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.requests.http1 import Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.server.protocol import Result

    Look = Callable[[int, int, float, int], tuple[Result, dict[bytes, bytes]]]

_ONE_WAIT_SEC = 20.0
_AT_ONCE = 16 * 1024 * 1024


class OutputFollower(threading.Thread):
    """Ends with the command, or with the way to it; what ``on_output`` raises ends the command."""

    def __init__(self, look: Look, on_output: Callable[[OutputChunk], object], kill: Callable[[], None]) -> None:
        super().__init__(name="spawn-output", daemon=True)
        self._look = look
        self._on_output = on_output
        self._kill = kill
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._follow()
        except SandboxError:
            pass  # whoever waits for the command meets it as well
        except Malformed as reason:
            self.error = misbehaviour(reason)
        except Exception as error:
            self.error = error
            with suppress(SandboxError):
                self._kill()

    def _follow(self) -> None:
        told = {protocol.STDOUT: 0, protocol.STDERR: 0}
        while True:
            offsets = told[protocol.STDOUT], told[protocol.STDERR]
            result, output = self._look(*offsets, _ONE_WAIT_SEC, _AT_ONCE)
            for kind, data in output.items():
                told[kind] += len(data)
                if data:
                    chunk = OutputChunk(data)
                    chunk.stream = "stdout" if kind == protocol.STDOUT else "stderr"
                    self._on_output(chunk)
            if is_all(result, told[protocol.STDOUT], told[protocol.STDERR], is_silent=not any(output.values())):
                return

"""What everything that a sandbox is asked to do goes through, so that trouble has its right name.

A broken connection may mean that the task died, or only the way to it. And a task that is being stopped has its
commands killed first: they come back with an exit code, which must not look like a failure of the command.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.leaves.errors import MISBEHAVED, SandboxError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.leaves.errors import SandboxLost
    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.connection import Connection
    from pytest_fargate_sandbox.sandbox.task.launched_task import LaunchedTask

T = TypeVar("T")

_VERDICT_SEC = 4.0
"""How long to ask ECS, after the connection broke, whether the task died. It says so a moment later."""

_DOUBTED_SEC = 60.0
"""So long a server that said it was stopping, and was not, is believed no more. Each command would cost a verdict."""

_KILLED = (128 + signal.SIGTERM, 128 + signal.SIGKILL)


class Lifeline:
    """One task's. Any number of threads may be in it; only one of them looks for the reason of a break."""

    def __init__(self, task: LaunchedTask, connection: Connection) -> None:
        self._task = task
        self._connection = connection
        self.cause = ""
        """Why the task ended, once somebody met its end."""
        self._one_inquiry = threading.Lock()
        self._doubted_until = 0.0

    def through(self, act: Callable[[], T]) -> T:
        """What ``act`` returns. Raises ``SandboxLost`` or ``TransportError`` where the connection breaks."""
        try:
            return act()
        except TransportError as error:
            if error.context.get("kind") == MISBEHAVED:
                raise  # Whoever lies is there, and it is no connection that broke.
            raise self._explained(error) from error

    def checked(self, result: ExecResult) -> ExecResult:
        """``result``, unless the command was killed because its task ends: ``SandboxLost``."""
        if result.return_code in _KILLED and not result.oom_killed:
            is_doubted = time.monotonic() < self._doubted_until
            lost, is_well = self._inquired(0.0 if is_doubted else _VERDICT_SEC)
            if lost:
                raise lost
            if is_well:
                self._doubted_until = 0.0
            elif not is_doubted:
                self._doubted_until = time.monotonic() + _DOUBTED_SEC
        return result

    def _explained(self, error: TransportError) -> SandboxError:
        lost, is_well = self._inquired(_VERDICT_SEC)
        if is_well:
            return TransportError(f"{error}\nThe connection is up again. What was under way may have been carried out.")
        return lost or TransportError(f"{error}\n{self._task.verdict()}")

    def _inquired(self, within: float) -> tuple[SandboxLost | None, bool]:
        """How the task died, if ECS says so ``within`` that time, and if not, whether all is well."""
        deadline = time.monotonic() + within
        with self._one_inquiry:
            lost = self._task.loss()
            if lost is None and self._connection.is_well():
                return None, True
            # Who ends the server from within, ECS learns of later. Those who stood in line have waited already.
            lost = lost or self._task.loss(max(0.0, deadline - time.monotonic()))
        if lost:
            self.cause = lost.cause
        return lost, False

"""A machine's seat: its place under its run's bound on tasks, and its turn in the run's rate of launches."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.sandbox.machine import Admission

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.run.bound import TaskBound


class Seat(Admission):
    """Taken before a task is launched, given back when the task is on its way out; the next task takes it anew."""

    def __init__(self, bound: TaskBound, pace: Callable[[], None], *, kind: str, task_id: str, taken: bool) -> None:
        """``pace`` returns when the next launch may go out.

        ``taken``: the shelf took the seat already; its row in the bound has this id.
        """
        self._bound = bound
        self._pace = pace
        self._kind = kind
        self._task_id = task_id
        self._row = task_id
        self._taken = taken

    def take(self) -> None:
        """Raises what ``TaskBound.admit`` raises; before a start, which would take it for a failed launch."""
        if not self._taken:
            self._bound.admit(self._row, self._kind)
            self._taken = True

    def admit(self) -> None:
        self.take()
        self._pace()

    def launched(self, task_arn: str) -> None:
        self._bound.launched(self._row, task_arn)

    def over(self) -> None:
        if self._taken:
            self._bound.stopping(self._row)
            self._row, self._taken = f"{self._task_id}+{secrets.token_hex(2)}", False

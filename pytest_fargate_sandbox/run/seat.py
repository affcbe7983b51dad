"""A machine's seat: its place under its run's bound on tasks, and its turn in the run's rate of launches."""

from __future__ import annotations

import math
import secrets
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.run.bound import NOTHING
from pytest_fargate_sandbox.sandbox.machine_ties import Admission

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.leaves.errors import StartError
    from pytest_fargate_sandbox.run.bound import Instead, TaskBound
    from pytest_fargate_sandbox.run.sandbox_spec import Wants


class Seat(Admission):
    """Taken before a task is launched, given back when the task is on its way out; the next task takes it anew."""

    def __init__(
        self,
        bound: TaskBound,
        pace: Callable[[], None],
        wants: Wants,
        *,
        task_id: str,
        taken: bool,
        patience: float | None,
    ) -> None:
        """``pace`` returns when the next launch may go out.

        ``taken``: the shelf took the seat already; its row in the bound has this id. ``patience``: for how many seconds
        to wait for room where the account is full; None: not at all.
        """
        self._bound, self._pace, self._wants = bound, pace, wants
        self._task_id = self._row = task_id
        self._taken = taken
        self._patience = patience

    @property
    def row(self) -> str:
        """Its id in the bound."""
        return self._row

    def take(self, instead: Instead = NOTHING) -> None:
        """Raises what ``TaskBound.admit`` raises; before a start, which would take it for a failed launch."""
        if not self._taken:
            patience = math.inf if self._patience is None else self._patience
            self._bound.admit(self._row, self._wants, patience=patience, instead=instead)
            self._taken = True

    def admit(self) -> None:
        self.take()
        self._pace()

    def refused(self, failure: StartError) -> bool:
        if self._patience is None or failure.cause != Cause.QUOTA:
            return False
        if not self._bound.refused(self._row, failure.reason):
            return False
        self._begin_anew()
        return True

    def launched(self, task_arn: str) -> None:
        self._bound.launched(self._row, task_arn)

    def over(self) -> None:
        if self._taken:
            self._bound.stopping(self._row)
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._row, self._taken = f"{self._task_id}+{secrets.token_hex(2)}", False

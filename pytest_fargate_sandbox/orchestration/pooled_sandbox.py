"""A sandbox that counts among the tasks of its run, and that another process of the run can take over."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.names import TAG_TEST, TAG_WORKER
from pytest_fargate_sandbox.orchestration.ecs_fargate import EcsFargateSandbox

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.orchestration.bound import TaskBound
    from pytest_fargate_sandbox.orchestration.ledger import Ledger
    from pytest_fargate_sandbox.orchestration.rate import LaunchRate
    from pytest_fargate_sandbox.orchestration.spec import SandboxSpec
    from pytest_fargate_sandbox.orchestration.target import Target

_EXEC_TIMEOUT_SEC = 180.0


@dataclass(frozen=True)
class RunContext:
    """What all sandboxes of a run have in common, seen from one of its workers."""

    id: str
    worker: str
    secret: bytes
    """What the keys to each task are derived from, so that every worker can take every task over."""
    ledger: Ledger
    bound: TaskBound
    rate: LaunchRate


class PooledSandbox(EcsFargateSandbox):
    def __init__(self, run: RunContext, spec: SandboxSpec, task_id: str, *, test: str) -> None:
        labels = {TAG_WORKER: run.worker, **({TAG_TEST: test} if test else {})}
        super().__init__(
            spec.config,
            task_id=task_id,
            run_id=run.id,
            labels=labels,
            pace=self._wait_for_turn,
            secret=run.secret,
        )
        self._run = run
        self._spec = spec
        self._row = task_id
        """Under which the task counts: the shelf has made the first one, and a second attempt gets another."""
        self._counts = not test

    def take_over(self, task: Mapping[str, Any]) -> None:
        super().take_over(task)
        self._counts = True

    def hand_over(self, owner: Mapping[str, Any]) -> None:
        """The task is the run's now, and no longer this process's."""
        self._record("shelved", **owner)

    def exec(self, command: str | Sequence[str], timeout_sec: float | None = None, **options: Any) -> ExecResult:
        return super().exec(command, timeout_sec or self._spec.exec_timeout or _EXEC_TIMEOUT_SEC, **options)

    def _open_entry(self, target: Target) -> str:
        """One that was launched ahead goes on in the entry that it has, with this process as its owner."""
        ahead = self._launched_ahead and self._run.ledger.entry_of(str(self._launched_ahead["taskArn"]))
        if not ahead:
            return super()._open_entry(target)
        self._run.ledger.own(ahead.id, "claimed", labels={**self.labels})
        return ahead.id

    def wait_for_room(self) -> None:
        """Raises what ``TaskBound.admit`` raises, which is no failure of a launch to be tried again at once."""
        if not self._counts:
            self._run.bound.admit(self._row, self._spec.kind)
            self._counts = True

    def _wait_for_turn(self) -> None:
        self.wait_for_room()
        self._run.rate.take()

    def _record(self, event: str, **facts: Any) -> None:
        super()._record(event, **facts, **(self._size if event == "launched" else {}))
        if event == "launched":
            self._run.bound.launched(self._row, facts["task_arn"])
        elif event == "stopped":
            self.count_no_more()

    @property
    def _size(self) -> dict[str, Any]:
        """What the task costs by."""
        cfg = self.cfg
        spot = cfg.capacity_provider == "FARGATE_SPOT"
        return {"cpu": cfg.cpu, "memory": cfg.memory, "storage_gib": cfg.ephemeral_storage_gib, "spot": spot}

    def count_no_more(self) -> None:
        """The task is on its way out; should another be launched for this sandbox, that one counts anew."""
        if self._counts:
            self._run.bound.stopping(self._row)
            self._row, self._counts = f"{self.task_id}+{secrets.token_hex(2)}", False

"""A lease on a whole task: it ends with the lease, or is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.names import SETUP_PHASES
from pytest_fargate_sandbox.run.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox
    from pytest_fargate_sandbox.run.seat import Seat

_LAUNCH = ("launch", "address", "tunnel")


class TaskLease(Lease):
    """``seat`` is the task's, under the run's bound on tasks."""

    sandbox: EcsFargateSandbox

    def __init__(
        self,
        sandbox: EcsFargateSandbox,
        seat: Seat,
        *,
        keep: str,
        test: str,
        prelaunched: bool = False,
        leave: Callable[[EcsFargateSandbox], None] | None = None,
    ) -> None:
        """``leave`` has it found by the next run, where there is one that wants it."""
        super().__init__(sandbox, keep=keep, test=test)
        self.seat = seat
        self.leave = leave
        self.launch_sec = 0.0
        """How long the task's own launch took, whoever waited for it."""
        self._prelaunched = prelaunched

    def set_up(self, waits: Mapping[str, float]) -> None:
        """It is ready for its test. ``waits``: seconds that this took besides its start, which ``place`` holds too."""
        phases = {**waits, "place": max(0.0, waits["place"] - sum(self.sandbox.phases.values()))}
        for name, seconds in self.sandbox.phases.items():
            phases[name] = phases.get(name, 0.0) + seconds
        self.sandbox.phases = {name: round(phases[name], 4) for name in SETUP_PHASES if name in phases}
        took = self.sandbox.launch_sec
        self.launch_sec = round(sum(phases.get(name, 0.0) for name in _LAUNCH) if took is None else took, 4)
        self._note("set_up", phases=dict(self.phases), launch_sec=self.launch_sec, prelaunched=self._prelaunched)

    @property
    def task_id(self) -> str:
        return self.sandbox.task_id

    @property
    def phases(self) -> Mapping[str, float]:
        return self.sandbox.phases

    def _note(self, event: str, **facts: Any) -> None:
        self.sandbox.note(event, **facts)

    def _note_tests(self, tests: list[str]) -> None:
        self._note("tested", tests=tests, prelaunched=self._prelaunched)

    def _keep_it(self) -> None:
        self.sandbox.keep()

    def _leave_it(self) -> bool:
        if self.leave is None:
            return False
        try:
            self.leave(self.sandbox)
        except SandboxError as error:
            self._note("not_left", why=str(error))
            return False
        self.sandbox.detach()
        return True

    def _give_up(self) -> None:
        self.sandbox.stop()
        self.seat.over()  # also where there never was a task

    def logs(self) -> str:
        try:
            return self.sandbox.logs()
        except SandboxError:
            return ""

    def _beginning(self) -> Iterator[str]:
        if self._prelaunched:
            yield f"launched ahead of need in {self.launch_sec:.2f} s"
        yield from super()._beginning()

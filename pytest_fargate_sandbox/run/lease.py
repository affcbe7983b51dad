"""A sandbox while tests have it: whose it is, how it fared, and whether it may live on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.names import SETUP_PHASES
from pytest_fargate_sandbox.leaves.printable import printable
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox
    from pytest_fargate_sandbox.records.kept_tasks import KeptTask
    from pytest_fargate_sandbox.run.seat import Seat
    from pytest_fargate_sandbox.sandbox.past_command import PastCommand

_LAUNCH = ("launch", "address", "tunnel")
_COMMANDS = 5
_TAIL_LINES = 8


class Lease:
    """``end`` stops the sandbox, or keeps it if that was wished for and the tests went the way it was wished for."""

    def __init__(self, sandbox: EcsFargateSandbox, seat: Seat, *, keep: str, test: str, prelaunched: bool) -> None:
        self.sandbox = sandbox
        self.test = test
        """The test for whose sake it was made."""
        self.kept: KeptTask | None = None
        self.launch_sec = 0.0
        """How long the task's own launch took, whoever waited for it."""
        self._seat = seat
        self._keep = keep
        self._prelaunched = prelaunched
        self._tests: list[str] = []
        self._failed = False
        self._last_known: PastCommand | None = None

    def set_up(self, waits: Mapping[str, float]) -> None:
        """It is ready for its test. ``waits``: seconds that this took besides its start, which ``place`` holds too."""
        phases = {**waits, "place": max(0.0, waits["place"] - sum(self.sandbox.phases.values()))}
        for name, seconds in self.sandbox.phases.items():
            phases[name] = phases.get(name, 0.0) + seconds
        self.sandbox.phases = {name: round(phases[name], 4) for name in SETUP_PHASES if name in phases}
        took = self.sandbox.launch_sec
        self.launch_sec = round(sum(phases.get(name, 0.0) for name in _LAUNCH) if took is None else took, 4)
        self.sandbox.note(
            "set_up", phases=self.sandbox.phases, launch_sec=self.launch_sec, prelaunched=self._prelaunched
        )

    @property
    def task_id(self) -> str:
        return self.sandbox.task_id

    @property
    def is_lost(self) -> bool:
        """Whether the task ended though nobody has stopped the sandbox."""
        return self.sandbox.task_arn is not None and not self.sandbox.is_running

    @property
    def awaits_verdict(self) -> bool:
        """Whether it is kept if its test fails, and only then."""
        return self._keep == "failed" and self.sandbox.is_running

    @property
    def has_run(self) -> bool:
        """Whether commands have come back from it since it came to ``rest``."""
        return bool(self.sandbox.history) and self.sandbox.history[-1] is not self._last_known

    def rest(self) -> None:
        """No test has it right now."""
        self._last_known = self.sandbox.history[-1] if self.sandbox.history else None

    def tested(self, test: str, *, failed: bool) -> None:
        """A test that had it is over."""
        if test not in self._tests:
            self._tests.append(test)
        self._failed = self._failed or failed
        self.sandbox.note("tested", tests=list(self._tests), prelaunched=self._prelaunched)

    def end(self, *, may_keep: bool = True) -> None:
        if self.sandbox.history:
            self.sandbox.note("used", commands=[past.to_dict() for past in self.sandbox.history])
        wished = self._keep == "always" or (self._keep == "failed" and self._failed)
        if may_keep and wished and self.sandbox.is_running:
            self.kept = self.sandbox.keep()
        else:
            self.sandbox.stop()
            self._seat.over()  # also where there never was a task

    def story(self) -> str:
        """What one wants to know who sees a test fail: the task, its start, the last commands, its log, its end."""
        sandbox = self.sandbox
        lines = [f"task: {sandbox.task_arn or 'none'}", f"image: {sandbox.image or 'none'}"]
        start = [f"launched ahead of need in {self.launch_sec:.2f} s"] if self._prelaunched else []
        start += [f"{name} {seconds:.2f} s" for name, seconds in sandbox.phases.items() if seconds >= 0.005]
        if start:
            lines.append(f"start: {', '.join(start)}")
        for past in list(sandbox.history)[-_COMMANDS:]:
            lines += _told(past)
        for terminal in sandbox.terminals.all():
            lines += [f"terminal {terminal.name}:", *(f"  {line}" for line in terminal.capture().splitlines())]
        if sandbox.cause:
            lines.append(f"the task ended: {sandbox.cause}")
        logs = self._logs()
        return printable("\n".join([*lines, *(["container log (end):", logs] if logs else [])]))

    def _logs(self) -> str:
        try:
            return self.sandbox.logs()
        except (SandboxError, AwsError):
            return ""


def _told(past: PastCommand) -> list[str]:
    lines = [f"$ {past.command[:200]}    [{past.state}, {past.duration_sec:.2f} s]"]
    for text in (past.stdout, past.stderr):
        lines += [f"  {line}" for line in text.splitlines()[-_TAIL_LINES:]]
    return lines

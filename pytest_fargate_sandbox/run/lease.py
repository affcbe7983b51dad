"""A sandbox while tests have it: whose it is, how it fared, and whether it may live on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox
    from pytest_fargate_sandbox.sandbox.past_command import PastCommand
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot

_COMMANDS = 5
_TAIL_LINES = 8


class Lease(ABC):
    """``end`` gives the sandbox up, or keeps it if that was wished for and the tests went the way it was wished for."""

    def __init__(self, sandbox: EcsFargateSandbox | Slot, *, keep: str, test: str) -> None:
        self.sandbox = sandbox
        self.test = test
        """The test for whose sake it was made."""
        self.kept = False
        self.left = False
        """To the next run."""
        self.artifacts: Sequence[str] = ()
        """Globs of what is saved of it after each test, or as ``artifacts_when`` says."""
        self.artifacts_when: str | None = None
        self.snapshots: Mapping[str, Path] = {}
        """With which its directories began."""
        self.has_files = False
        """Whether files were put into it besides."""
        self.allowed_changes: Sequence[str] | None = None
        """Globs of where in those directories its test may change it; None: it is not looked at."""
        self._keep, self._may_be_left = keep, True
        self._tests: list[str] = []
        self._failed = False
        self._last_known: PastCommand | None = None

    # --- what kinds of leases differ in ------------------------------------------------------------------------------

    @property
    @abstractmethod
    def task_id(self) -> str:
        """What its test's report calls it."""

    @property
    @abstractmethod
    def phases(self) -> Mapping[str, float]:
        """What its test waited for, in seconds."""

    @abstractmethod
    def _note(self, event: str, **facts: Any) -> None:
        """Write down something about it."""

    def _note_tests(self, tests: list[str]) -> None:
        """Write down which have had it by now."""
        self._note("tested", tests=tests)

    @abstractmethod
    def _keep_it(self) -> None:
        """Have it outlive the run."""

    def _leave_it(self) -> bool:
        """Whether the next run is to have it, and so it lives on."""
        return False

    @abstractmethod
    def _give_up(self) -> None:
        """No test of ours will have it."""

    def _where(self) -> Iterator[str]:
        """What and where it is, in lines."""
        yield f"task: {self.sandbox.task_arn or 'none'}"
        yield f"image: {self.sandbox.image or 'none'}"

    def _beginning(self) -> Iterator[str]:
        """How its start went, in parts of a line."""
        yield from (f"{name} {seconds:.2f} s" for name, seconds in self.phases.items() if seconds >= 0.005)

    def logs(self) -> str:
        """What its containers have said that belongs to its story."""
        return ""

    # --- its life ----------------------------------------------------------------------------------------------------

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
        self._note_tests(list(self._tests))

    def spoil(self) -> None:
        """What went on in it was broken off: it is left to no other run."""
        self._may_be_left = False

    def end(self, *, may_keep: bool = True) -> None:
        if self.sandbox.history:
            self._note("used", commands=[past.to_dict() for past in self.sandbox.history])
        wished = self._keep == "always" or (self._keep == "failed" and self._failed)
        if may_keep and wished and self.sandbox.is_running:
            self._keep_it()
            self.kept = True
        else:
            self.left = may_keep and self._may_be_left and self.sandbox.is_running and self._leave_it()
            if not self.left:
                self._give_up()

    def story(self, log: str) -> str:
        """What one wants to know who sees a test fail: the task, its start, the last commands, its end, its ``log``."""
        sandbox = self.sandbox
        lines = list(self._where())
        start = list(self._beginning())
        if start:
            lines.append(f"start: {', '.join(start)}")
        if len(sandbox.history) > _COMMANDS:
            lines.append(f"the last {_COMMANDS} of its commands:")
        for past in list(sandbox.history)[-_COMMANDS:]:
            lines += _told(past)
        for terminal in sandbox.terminals.all():
            lines += [f"terminal {terminal.name}:", *(f"  {line}" for line in terminal.capture().splitlines())]
        if sandbox.cause:
            lines.append(f"the task ended: {sandbox.cause}")
        return printable("\n".join([*lines, *(["container log (end):", log] if log else [])]))


def _told(past: PastCommand) -> list[str]:
    lines = [f"$ {past.command[:200]}    [{past.state}, {past.duration_sec:.2f} s]"]
    for text in (past.stdout, past.stderr):
        lines += [f"  {line}" for line in text.splitlines()[-_TAIL_LINES:]]
    return lines

"""What ties a machine to those around it: who writes its life down, and who lets it launch. These do neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.leaves.errors import StartError
    from pytest_fargate_sandbox.sandbox.machine import Machine, Place


class Recorder:
    """Writes a machine's life down, each step before it is taken. This one writes nothing."""

    def open(self, machine: Machine, place: Place, ahead: Mapping[str, Any] | None) -> Mapping[str, str]:  # noqa: ARG002
        """A start begins, of the task ``ahead`` if one was launched; returns tags by which its task is found again."""
        return {}

    def record(self, event: str, **facts: Any) -> None:
        """One step: ``event`` is phase, launching, launched, ready or stopped."""

    def let_go(self, task_arn: str) -> None:
        """This process answers for the task no more: it is stopped, or is to outlive us."""


class Admission:
    """Lets a machine launch, and counts its task. This one lets all of them, and counts none."""

    def admit(self) -> None:
        """Return when a task may be launched; called before each RunTask."""

    def refused(self, failure: StartError) -> bool:  # noqa: ARG002
        """ECS refused a launch for good. Whether ``admit`` knows to wait until it will not."""
        return False

    def launched(self, task_arn: str) -> None:
        """There is a task now."""

    def over(self) -> None:
        """The task is on its way out, or was never launched; the next one is admitted anew. Twice is as once."""

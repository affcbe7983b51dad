"""A task that was launched before anybody needed it, as whoever takes it over knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.sandbox.task.causes import holds_for_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.leaves.errors import StartError


@dataclass(frozen=True)
class LaunchedAhead:
    task: Mapping[str, Any]
    """What ECS says of it: its ``taskArn`` at least; what else is known need not be asked for."""
    launched_as: str
    """The id of the machine that launched it, by which its keys are derived."""
    is_second: bool = False
    """Whether another of its kind had died before anybody had it, and none has come up."""

    def settles(self, error: StartError) -> bool:
        """Whether what it died of is told, and no task launched in its stead; one is, whatever it was else."""
        return self.is_second and holds_for_all(error)

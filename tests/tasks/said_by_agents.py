"""Agents of whom a test says what they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_fargate_sandbox.tasks.workplace import Workplace


@dataclass(frozen=True)
class Says:
    """An agent who runs this."""

    script: str
    name: str = "says"

    def act(self, there: Workplace) -> None:
        there.run(["/bin/bash", "-c", self.script])

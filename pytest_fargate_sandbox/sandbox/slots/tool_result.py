"""What a tool call is, and what it gives back: plain data, as harnesses pass it on to a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.sandbox.slots.slot import Slot

DEFAULT_TIMEOUT_SEC = 30.0


@dataclass(frozen=True)
class ToolResult:
    """``success`` is about the tool: a command may fail, a file may not be there. Trouble of the sandbox is raised."""

    success: bool
    output: str = ""
    error: str = ""
    execution_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "success": self.success,
            "output": self.output,
            "error": self.error,
            "execution_id": self.execution_id,
            "metadata": self.metadata,
        }


@dataclass(frozen=True)
class ToolRequest:
    """One call in a batch. The same ``execution_id`` with the same arguments is carried out once."""

    slot: Slot
    tool: str
    args: Mapping[str, Any]
    timeout: float = DEFAULT_TIMEOUT_SEC
    execution_id: str | None = None

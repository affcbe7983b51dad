"""A sandbox that another process of this user holds, by the side door of that process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.side_door import visit, way_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.exec.process import Process
    from pytest_fargate_sandbox.sandbox.exec.terminal_process import TerminalProcess


class HeldElsewhere:
    """Commands in it, with the words of a sandbox. Raises ``SandboxError`` where nobody holds the task."""

    def __init__(self, task_arn: str) -> None:
        from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient

        try:
            visit(task_arn).close()
        except SandboxError as error:
            raise SandboxError(
                f"{task_arn.rpartition('/')[2]} is not kept, and {error}; --fargate-keep and the marker's `keep` say "
                "which tasks are kept"
            ) from None
        self._client = ExecClient(connect=way_to(task_arn))

    def exec(self, command: str | Sequence[str], timeout_sec: float, **options: Any) -> ExecResult:
        return self._client.exec(command, timeout=timeout_sec, **options)

    def spawn(self, command: str | Sequence[str], **options: Any) -> Process:
        return self._client.spawn(command, **options)

    def spawn_on_terminal(self, command: str, size: tuple[int, int], **options: Any) -> TerminalProcess:
        return self._client.spawn_on_terminal(command, size, **options)

    def __enter__(self) -> HeldElsewhere:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

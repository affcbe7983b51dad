from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.sandbox.exec.process import Unguarded
from pytest_fargate_sandbox.sandbox.terminals.open_terminals import OpenTerminals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal
    from tests.exec_server_process import ExecServerProcess


@pytest.fixture
def open_terminal(server: ExecServerProcess) -> Iterator[Callable[..., Terminal]]:
    """As a workspace opens one; all are hung up at the end."""
    terminals = OpenTerminals()

    def open_(
        command: str | list[str] | None = None, width: int = 100, height: int = 30, *, name: str = "", **options: str
    ) -> Terminal:
        name = name or f"terminal {len(terminals.all())}"
        client, env = server.client, {"LC_ALL": "C.UTF-8"}
        return terminals.open(
            client, Unguarded(), name, width, height, command, env=env, user=options.get("user"), cwd=options.get("cwd")
        )

    yield open_
    for terminal in terminals.all():
        terminal.close()

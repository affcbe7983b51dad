from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.exec_server_process import ExecServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecServerProcess]:
    """One server for all tests that leave it as they found it."""
    server = ExecServerProcess(tmp_path_factory.mktemp("exec-server"))
    yield server
    server.close()


@pytest.fixture
def client(shared_server: ExecServerProcess) -> ExecClient:
    return shared_server.client


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ExecServerProcess]:
    """A server of the test's own."""
    server = ExecServerProcess(tmp_path)
    yield server
    server.close()

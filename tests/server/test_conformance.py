"""The exec server, on the newest Python at hand, and its client, held to the list that every sandbox is held to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.exec_server_process import ExecServerProcess, LoopbackSandbox
from tests.server.behaviours import behaviours_of
from tests.server.interpreters import interpreters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.conformance import Behaviour


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackSandbox]:
    *_, newest = interpreters().values()
    server = ExecServerProcess(tmp_path_factory.mktemp("conformance"), newest)
    yield LoopbackSandbox(server.client)
    server.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    metafunc.parametrize("behaviour", behaviours_of(metafunc.config), ids=str)


def test_conformance(sandbox: LoopbackSandbox, behaviour: Behaviour) -> None:
    behaviour(sandbox)

"""The one list of behaviours, held against a sandbox on the embedded Fargate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
from pytest_fargate_sandbox.conformance import BEHAVIOURS, LARGE_BEHAVIOURS, Behaviour, LargeBehaviour
from tests.server_memory import NOTHING, seen_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine_of_tests import EngineOfTests

GIBIBYTE = 1 << 30


@pytest.fixture(scope="module")
def shared(_engine_of_tests: EngineOfTests) -> Iterator[EcsFargateSandbox]:
    cfg = EcsFargateConfig(cluster="local", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
    with EcsFargateSandbox(cfg, task_id="conformance", run_id="conformance") as sandbox:
        sandbox.start()
        yield sandbox


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=str)
def test_a_sandbox_on_fargate(shared: EcsFargateSandbox, behaviour: Behaviour) -> None:
    behaviour(shared)


@pytest.mark.parametrize("behaviour", LARGE_BEHAVIOURS, ids=str)
def test_a_sandbox_on_fargate_with_much_to_move(
    shared: EcsFargateSandbox, behaviour: LargeBehaviour, pytestconfig: pytest.Config
) -> None:
    behaviour(shared, GIBIBYTE if pytestconfig.getoption("soak") else GIBIBYTE // 32)


def test_the_memory_of_its_server_is_closed(shared: EcsFargateSandbox) -> None:
    assert seen_by(shared, 1) == NOTHING

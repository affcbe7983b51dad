from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
from tests.components import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.sandbox.slots.slot import Slot
    from tests.engine_of_tests import EngineOfTests


@pytest.fixture(scope="package")
def machine(_engine_of_tests: EngineOfTests) -> Iterator[EcsFargateSandbox]:
    """One with six slots, each of which is a user of its own."""
    need("another user")
    sidecar = SshSidecarConfig(exec_server_port=19542)
    config = EcsFargateConfig(cluster="local", cpu="1024", memory="2048", ssh_sidecar=sidecar)
    with EcsFargateSandbox(config, task_id="slots", run_id="run") as machine:
        machine.start()
        machine.open_slots(6)
        yield machine


@pytest.fixture
def slot(machine: EcsFargateSandbox) -> Iterator[Slot]:
    with machine.lease_slot() as slot:
        yield slot


@pytest.fixture
def neighbour(machine: EcsFargateSandbox) -> Iterator[Slot]:
    with machine.lease_slot() as slot:
        yield slot

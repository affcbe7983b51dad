"""An agent reaches its model and is reached, however often the way between them breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import SshSidecarConfig
from tests.chaos import faults
from tests.chaos.agents import PROGRAM, Model, Requests, agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox import EcsFargateConfig
    from tests.chaos.systems import System
    from tests.chaos.tally import Tally
    from tests.engine_of_tests import EngineOfTests


@pytest.fixture(params=["auto", "ssm"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(seed: int, way: str) -> Iterator[Model]:
    """A session carries a hundredth of what a connection does."""
    model = Model(seed, 30_000) if way == "ssm" else Model(seed)
    yield model
    model.close()


@pytest.fixture
def system(
    way: str,
    engine: EngineOfTests,
    local_config: Callable[..., EcsFargateConfig],
    model: Model,
    dead_after: float,
) -> Iterator[System]:
    main = {"name": "main", "image": "host", "entryPoint": ["python3", "-c", PROGRAM]}
    engine.aws.call(
        "ecs",
        "RegisterTaskDefinition",
        family="chaos-agent",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[main],
    )
    common = {"ssh_sidecar": SshSidecarConfig(), "container_port": 8000, "task_definition": "chaos-agent"}
    cfg = local_config(**common, connect_via=way)
    with agent(cfg, model, dead_after) as system:
        yield system


@pytest.mark.trials("which", "all faults", "cuts")
def test_answers_are_whole_and_the_right_ones(
    system: System, model: Model, trial: Callable[..., Tally], which: str
) -> None:
    strikes = [faults.cut(system.proxy)] if which == "cuts" else faults.all_on_the_wire(system.proxy)
    trial(f"requests, 8 threads, {which}", Requests(system, model), strikes, acts=2000)

"""An image with a command of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.engine_of_tests import EngineOfTests


def agent_image(engine: EngineOfTests, command: str, name: str) -> str:
    """A task definition stands for an image with a command of its own: the host's tree has none."""
    main = {"name": "main", "image": "host", "entryPoint": ["python3", "-c", command]}
    engine.aws.call(
        "ecs",
        "RegisterTaskDefinition",
        family=name,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[main],
    )
    return name

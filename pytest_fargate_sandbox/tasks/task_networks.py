"""What a task says of networks: of its environment, and of what happens there, whose word counts more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.tasks.task_folder import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.tasks.task_folder import Step, TaskConfig


def agents_networks(config: TaskConfig) -> dict[str | None, str]:
    """Those that the agent is to have, each with what says so: where they are several, there is no such sandbox."""
    usual = config.agent.network_mode or config.environment.network_mode
    if not config.steps:
        return {usual: "agent"}
    return {step.agent.network_mode or usual: step.name for step in config.steps}


def verifiers_network(config: TaskConfig, step: Step | None) -> str | None:
    """Of a sandbox of its own."""
    of_step = step.verifier if step else None
    for verifier in (of_step, config.verifier):
        if verifier and verifier.network_mode:
            return verifier.network_mode
        if verifier and verifier.environment and verifier.environment.network_mode:
            return verifier.environment.network_mode
    return config.environment.network_mode


def network_obstacles(config: TaskConfig) -> Iterator[str]:
    """A sandbox has one network, from its start to its end."""
    agents = agents_networks(config)
    if len(agents) > 1:
        yield f"its agent's network_mode changes between steps ({', '.join(map(str, agents))}), and a sandbox has one"
    for step in config.parts:
        verifier = step.verifier if step and step.verifier.environment_mode else config.verifier
        own = (step.verifier.network_mode if step else None) or config.verifier.network_mode
        if verifier.environment_mode == SHARED and own and own not in agents:
            yield f"its verifier shares the agent's sandbox, and is to have another network ({own})"
            return

"""What the sandboxes of a task are made of: the agent's, and the verifier's where it has one of its own."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.tasks import fargate_fit, task_inputs
from pytest_fargate_sandbox.tasks.task_folder import SEPARATE, SHARED
from pytest_fargate_sandbox.tasks.task_networks import agents_networks, verifiers_network

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox.tasks.task_folder import Step, Surroundings, TaskFolder, Verifier

_HOUR = 3600
_USUAL_TTL = 4 * _HOUR

_NETWORKS = {"public": "public", "no-network": "none"}
"""The marker's words."""


@dataclass(frozen=True)
class TaskPlace:
    """One kind of sandbox. Of ``image`` and ``context``, a directory with a Dockerfile, one is said."""

    said: Surroundings
    image: str | None = None
    context: Path | None = None
    files: Path | None = None
    """A directory whose content goes into the working directory, where no Dockerfile has put it there."""
    network_mode: str | None = None
    """As the task says it, of the sandbox or of what happens in it; None: it says nothing."""
    has_tests: bool = False
    """Whether ``/tests`` is a part of its image."""

    def keys(self, seconds: float) -> dict[str, Any]:
        """As the marker has them, for a sandbox in which something may take so long. Raises ``TaskFolderError``."""
        size = fargate_fit.fit(self.said)
        keys = {
            "image": self.image,
            "environment": self.context,
            "cpu": size.cpu,
            "memory": size.memory,
            "storage": size.storage,
            "network": _NETWORKS.get(self.network_mode or ""),
            "env": task_inputs.resolved(self.said.env, "environment.env") or None,
            "ttl": math.ceil(seconds / _HOUR + 1) * _HOUR if seconds + _HOUR > _USUAL_TTL else None,
        }
        return {key: value for key, value in keys.items() if value is not None}

    @property
    def told(self) -> str:
        return fargate_fit.fit(self.said).told


def agents_place(folder: TaskFolder) -> TaskPlace:
    """Raises ``TaskFolderError``."""
    said = folder.config.environment
    network = next(iter(agents_networks(folder.config)))
    dockerfile = folder.path / folder.layout.dockerfile
    if said.docker_image:
        context = dockerfile.parent
        # terminal-bench's has everything in it, its solution too.
        is_for_the_agent = context.is_dir() and not (dockerfile.is_file() or folder.is_terminal_bench)
        files = context if is_for_the_agent else None
        return TaskPlace(said, image=said.docker_image, files=files, network_mode=network)
    if dockerfile.is_file():
        task_inputs.check_inside(folder, dockerfile)
        return TaskPlace(said, context=dockerfile.parent, network_mode=network)
    raise TaskFolderError(
        f"{folder.name}: there is neither environment.docker_image nor {folder.layout.dockerfile}",
        path=str(folder.file),
    )


def verifiers_place(folder: TaskFolder, step: Step | None) -> TaskPlace:
    """An image that the task has for it, or a fresh one of the agent's. Raises ``TaskFolderError``."""
    agents = agents_place(folder)
    network = verifiers_network(folder.config, step)
    if mode_of(folder, step) != SEPARATE:
        return dataclasses.replace(agents, network_mode=network)
    owners = [(folder.config.verifier, folder.path / "tests")]
    if step is not None:
        owners.insert(0, (step.verifier, folder.path / "steps" / step.name / "tests"))
    said = next((each.environment for each, _ in owners if each.environment), folder.config.environment)
    for verifier, tests in owners:
        if verifier.environment is not None and verifier.environment.docker_image:
            return TaskPlace(said, image=verifier.environment.docker_image, network_mode=network, has_tests=True)
        if (tests / "Dockerfile").is_file():
            task_inputs.check_inside(folder, tests / "Dockerfile")
            return TaskPlace(said, context=tests, network_mode=network, has_tests=True)
    return dataclasses.replace(agents, said=said, network_mode=network)


def mode_of(folder: TaskFolder, step: Step | None) -> str | None:
    """``shared`` or ``separate`` where the task says it, by the word or by having an environment; None: it does not."""
    said = step and _said(step.verifier)
    return said or _said(folder.config.verifier)


def is_shared(folder: TaskFolder, step: Step | None) -> bool:
    return mode_of(folder, step) == SHARED


def _said(verifier: Verifier) -> str | None:
    return verifier.environment_mode or (SEPARATE if verifier.environment is not None else None)

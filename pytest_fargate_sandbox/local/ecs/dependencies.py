"""``dependsOn``: which container may start now, which never will, and in what order they stop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_fargate_sandbox.local.ecs.engine_task import EngineContainer

DEFAULT_START_TIMEOUT_SEC: Final = 180.0


class DependencyFailed(Exception):
    """A container can never start; the text is the reason of the stopped task."""


def wants(container: EngineContainer) -> list[tuple[str, str]]:
    """The names that ``container`` depends on, each with its condition."""
    return [(item["containerName"], item["condition"]) for item in container.definition.get("dependsOn") or ()]


def may_start(container: EngineContainer, others: Mapping[str, EngineContainer], started: Mapping[str, float]) -> bool:
    """Whether everything that ``container`` waits for holds; DependencyFailed when some of it cannot any more."""
    holds = True
    for name, condition in wants(container):
        dependency = others[name]
        if _holds(dependency, condition):
            continue
        holds = False
        if dependency.is_stopped:
            raise DependencyFailed(_never(container, name, condition, f"exited with code {dependency.exit_code}"))
        patience = dependency.definition.get("startTimeout") or DEFAULT_START_TIMEOUT_SEC
        if name in started and time.monotonic() - started[name] > patience:
            raise DependencyFailed(_never(container, name, condition, f"did not get there within {patience:g} s"))
    return holds


def _holds(dependency: EngineContainer, condition: str) -> bool:
    if condition == "START":
        return dependency.was_started
    if condition == "HEALTHY":
        return dependency.health == "HEALTHY"
    if condition == "COMPLETE":
        return dependency.is_stopped
    return dependency.is_stopped and dependency.exit_code == 0


def _never(container: EngineContainer, name: str, condition: str, what: str) -> str:
    return f"Container {container.name} failed to start: its dependency {name} must be {condition}, but it {what}"


def stop_order(containers: Iterable[EngineContainer]) -> list[list[EngineContainer]]:
    """Groups to stop one after the other: who depends goes before what it depends on."""
    left = {container.name: container for container in containers}
    groups = []
    while left:
        needed = {name for container in left.values() for name, _ in wants(container)}
        group = [container for name, container in left.items() if name not in needed]
        groups.append(group)
        for container in group:
            del left[container.name]
    return groups

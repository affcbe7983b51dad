"""Runs a container's health check until the container ends.

UNHEALTHY never stops a task that no service started; HEALTHY only opens the way for the containers that wait for it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.local.ecs.engine_task import EngineContainer, EngineTask
    from pytest_fargate_sandbox.local.runners.runner_contract import RunningTask

_EAGER_PAUSE_SEC = 0.05


@dataclass(frozen=True)
class HealthCheck:
    """A ``healthCheck`` with its defaults filled in."""

    command: tuple[str, ...]
    interval: float
    timeout: float
    retries: int
    start_period: float

    @classmethod
    def of(cls, definition: Mapping[str, Any]) -> HealthCheck | None:
        check = definition.get("healthCheck") or {}
        kind, *words = check.get("command") or ["NONE"]
        if kind == "NONE":
            return None
        if kind == "CMD-SHELL":
            words = ["/bin/sh", "-c", " ".join(words)]
        elif kind != "CMD":
            words = ["/bin/sh", "-c", " ".join([kind, *words])]
        return cls(
            command=tuple(words),
            interval=check.get("interval") or 30,
            timeout=check.get("timeout") or 5,
            retries=check.get("retries") or 3,
            start_period=check.get("startPeriod") or 0,
        )


def watch_health(
    task: EngineTask, container: EngineContainer, check: HealthCheck, running: RunningTask, *, eager: bool
) -> None:
    """Check ``container`` until it stops; ``eager`` means every 50 ms until the first HEALTHY."""
    began = time.monotonic()
    failures = 0
    if eager:
        _check_eagerly(task, container, check, running)
    while _still_running_after(task, container, check.interval):
        healthy = running.run_check(container.name, check.command, check.timeout) == 0
        if healthy:
            failures = 0
            task.health_becomes(container, "HEALTHY")
        elif container.health == "HEALTHY" or time.monotonic() - began >= check.start_period:
            failures += 1
            if failures >= check.retries and container.is_running:
                task.health_becomes(container, "UNHEALTHY")


def _check_eagerly(task: EngineTask, container: EngineContainer, check: HealthCheck, running: RunningTask) -> None:
    """Until the first HEALTHY; UNHEALTHY is said when AWS's own timing would have said so."""
    patience = time.monotonic() + check.start_period + check.interval * check.retries
    while container.is_running:
        if running.run_check(container.name, check.command, check.timeout) == 0:
            task.health_becomes(container, "HEALTHY")
            return
        if container.health == "UNKNOWN" and time.monotonic() >= patience:
            task.health_becomes(container, "UNHEALTHY")
        if not _still_running_after(task, container, _EAGER_PAUSE_SEC):
            return


def _still_running_after(task: EngineTask, container: EngineContainer, pause: float) -> bool:
    with task.changed:
        return not task.changed.wait_for(lambda: not container.is_running or task.is_ending, pause)

"""Trials on the engine of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.artifact_bounds import WORK_BOUNDS
from pytest_fargate_sandbox.tasks.task_reading import read_task
from pytest_fargate_sandbox.tasks.task_trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateSandbox
    from pytest_fargate_sandbox.leaves.artifact_bounds import WorkBounds
    from pytest_fargate_sandbox.tasks.crossing_store import CrossingStore
    from pytest_fargate_sandbox.tasks.workplace import Actor


@pytest.fixture
def trial(sandbox: Callable[..., EcsFargateSandbox]) -> Callable[..., Trial]:
    """``trial(folder, actor)``: its sandboxes are stopped with the test."""

    def make(**keys: Any) -> EcsFargateSandbox:
        started = sandbox(
            image_template=keys["image"],
            extra_env=keys.get("env"),
            **({"cpu": str(keys["cpu"]), "memory": str(keys["memory"])} if "cpu" in keys else {}),
        )
        started.start()
        return started

    def of(
        folder: Path, actor: Actor | None, bounds: WorkBounds = WORK_BOUNDS, store: CrossingStore | None = None
    ) -> Trial:
        return Trial(read_task(folder / "task.toml"), actor, make, store, bounds=bounds)

    return of

"""How much of an agent's work is taken, as the options have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.artifact_bounds import WorkBounds
from pytest_fargate_sandbox.plugin.settings import run_settings

if TYPE_CHECKING:
    import pytest


def work_bounds(config: pytest.Config) -> WorkBounds:
    run = config.stash[run_settings.SETTINGS].run
    return WorkBounds(run["task_max_bytes"], run["task_max_files"])

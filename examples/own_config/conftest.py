"""Deciding in code what sandboxes are made of: override ``fargate_config``, which has what the options say."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_fargate_sandbox import EcsFargateConfig


@pytest.fixture(scope="session")
def fargate_config(fargate_config: EcsFargateConfig) -> EcsFargateConfig:
    return dataclasses.replace(
        fargate_config,
        cpu="512",
        memory="1024",
        max_task_lifetime_sec=900,
        extra_env={"STAGE": "examples", "NAME": "{task_id}"},
        tags={"team": "examples"},
    )

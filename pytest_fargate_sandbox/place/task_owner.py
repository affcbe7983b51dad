"""Whose tasks are whose: the owner that stands on every task, and that a sweep goes by."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws


def owner_of(cfg: EcsFargateConfig, aws: Aws) -> str:
    """The configured owner, or the AWS identity: asked for once for these credentials. Raises ``AwsError``."""
    if cfg.owner:
        return cfg.owner
    if cfg.cluster == LOCAL_CLUSTER:
        return f"local/{os.getuid()}"  # a user need not have a name
    return aws.caller_arn

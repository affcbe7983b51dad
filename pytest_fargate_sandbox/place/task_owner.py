"""Whose tasks are whose: the owner that stands on every task, and that a sweep goes by."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER
from pytest_fargate_sandbox.leaves.user_cache import write_private

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws


def owner_of(cfg: EcsFargateConfig, aws: Aws) -> str:
    """The configured owner, or the AWS identity: asked for once for these credentials. Raises ``AwsError``."""
    if cfg.owner:
        return cfg.owner
    if cfg.cluster == LOCAL_CLUSTER:
        return f"local/{os.getuid()}"  # a user need not have a name
    note = aws.notes("identity") / "arn"
    if not note.exists():
        write_private(note, str(aws.call("sts", "GetCallerIdentity")["Arn"]))
    return note.read_text()

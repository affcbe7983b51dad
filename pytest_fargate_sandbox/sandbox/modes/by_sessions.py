"""What a way in by the Session Manager takes, whichever container its agent is in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig

_OLDEST_PLATFORM = (1, 4, 0)


def check_sessions(cfg: EcsFargateConfig) -> None:
    """Raise ``ConfigError`` where no session could be had, whatever the account allows."""
    if not (cfg.task_role_arn or cfg.task_definition or cfg.cluster == LOCAL_CLUSTER):
        raise ConfigError(
            "`task_role_arn` is missing: the SSM agent in the task speaks to ssmmessages in that role (docs/aws.md has "
            "the four actions that it needs)",
            key="task_role_arn",
        )
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html
    version = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", cfg.platform_version or "")
    if version and tuple(map(int, version.groups())) < _OLDEST_PLATFORM:
        raise ConfigError(
            f"platform_version={cfg.platform_version!r}: expected 1.4.0 or LATEST, what is older has no ECS Exec",
            key="platform_version",
            value=cfg.platform_version,
        )

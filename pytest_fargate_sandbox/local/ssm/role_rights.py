"""What a task's role lets its agent do, where the engine's IAM knows the role; any other is taken on trust."""

from __future__ import annotations

import sys
from typing import Any, Final

from pytest_fargate_sandbox.local.engine_credentials import ACCOUNT_ID

ACTIONS: Final = (
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
)
"""https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html#ecs-exec-required-iam-permissions"""


def lets_the_agent_connect(role: str) -> bool:
    """``role`` is an ARN, or a name."""
    found = _find(role.rpartition("/")[2])
    return found is None or all(_permits(found, action) for action in ACTIONS)


def _find(name: str) -> Any:
    if "moto.iam.models" not in sys.modules:  # nobody has called IAM, so it knows none
        return None
    iam: Any = sys.modules["moto.iam.models"].iam_backends[ACCOUNT_ID]["aws"]
    return next((role for role in list(iam.roles.values()) if role.name == name), None)


def _permits(role: Any, action: str) -> bool:
    from moto.iam.access_control import IAMPolicy, PermissionResult

    policies = [*role.managed_policies.values(), *role.policies.values()]
    results = [IAMPolicy(policy).is_action_permitted(action) for policy in policies]
    return PermissionResult.PERMITTED in results and PermissionResult.DENIED not in results

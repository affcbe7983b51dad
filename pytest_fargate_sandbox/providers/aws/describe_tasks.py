"""What ECS says of many tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.fargate_rules import TASKS_PER_DESCRIBE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fargate_sandbox.providers.aws.aws import Aws


def describe_tasks(aws: Aws, cluster: str, arns: Sequence[str]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The descriptions by ARN, and those of ``arns`` that ECS does not know (MISSING). Raises ``AwsError``."""
    found: dict[str, dict[str, Any]] = {}
    missing: list[str] = []
    for first in range(0, len(arns), TASKS_PER_DESCRIBE):
        some = arns[first : first + TASKS_PER_DESCRIBE]
        answer = aws.call("ecs", "DescribeTasks", cluster=cluster, tasks=list(some))
        found.update((task["taskArn"], task) for task in answer.get("tasks") or [])
        unknown = {each.get("arn") for each in answer.get("failures") or [] if each.get("reason") == "MISSING"}
        missing += [arn for arn in some if arn in unknown]
    return found, missing

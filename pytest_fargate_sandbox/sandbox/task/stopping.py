"""StopTask, and what its answers mean."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.fargate_rules import MISSING_GRACE_SEC
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.aws.aws import Aws

_INSISTING_SEC = 5.0

_log = logging.getLogger("pytest_fargate_sandbox.task")


def ask_to_stop(aws: Aws, cluster: str, arn: str, reason: str, *, launched: float = 0.0) -> bool:
    """Whether there was a task to stop: False where it was over. Raises ``AwsError`` where it may still run.

    ``launched`` is when, in seconds since the epoch: that ECS does not know a task says nothing while it is young.
    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html (eventual consistency)
    """
    deadline, rests = time.monotonic() + _INSISTING_SEC, pauses(0.2, 1.0)
    while True:
        try:
            answer = aws.call("ecs", "StopTask", cluster=cluster, task=arn, reason=reason)
            return bool((answer.get("task") or {}).get("lastStatus") != "STOPPED")
        except AwsError as error:
            if not error.is_unknown_task:
                raise
            if error.gone or time.time() - launched > MISSING_GRACE_SEC:
                return False
            if time.monotonic() > deadline:
                raise
        time.sleep(next(rests))


def stop_task(aws: Aws, cluster: str, arn: str, reason: str, *, launched: float = 0.0) -> bool:
    """Whether the task is stopped or gone. What can't be stopped is logged with the command that does it."""
    try:
        ask_to_stop(aws, cluster, arn, reason, launched=launched)
    except AwsError as error:
        region = f" --region {aws.region}" if aws.region else ""
        endpoint = f" --endpoint-url {aws.endpoint_url}" if aws.endpoint_url else ""
        _log.error(
            "%s may still run; stop it with: aws ecs stop-task --cluster %s --task %s%s%s (%s)",
            arn,
            cluster,
            arn,
            region,
            endpoint,
            error,
        )
        return False
    return True

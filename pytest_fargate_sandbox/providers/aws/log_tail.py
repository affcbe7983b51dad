"""The end of a container's output, as far as CloudWatch has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.providers.aws.aws import Aws

LOG_LINES = 40


def log_tail(aws: Aws, container: Mapping[str, Any], task_id: str, lines: int = LOG_LINES) -> str:
    """The last lines of ``container`` (its definition) in the task; empty if it wrote nothing or may not be read."""
    logs = container.get("logConfiguration") or {}
    if logs.get("logDriver") != "awslogs":
        return ""
    options = logs["options"]
    stream = f"{options.get('awslogs-stream-prefix', '')}/{container['name']}/{task_id}"
    try:
        answer = aws.call(
            "logs",
            "GetLogEvents",
            attempts=2,
            logGroupName=options["awslogs-group"],
            logStreamName=stream,
            limit=lines,
            startFromHead=False,
        )
    except AwsError:
        return ""  # it shows what else is known; a missing stream means that the container never wrote
    return "\n".join(str(event.get("message", "")).rstrip("\n") for event in answer.get("events") or [])

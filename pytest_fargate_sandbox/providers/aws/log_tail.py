"""The ends of logs, as far as CloudWatch has them."""

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
        return stream_tail(aws, options["awslogs-group"], stream, lines)
    except AwsError:
        return ""  # it shows what else is known; a missing stream means that the container never wrote


def stream_tail(aws: Aws, group: str, stream: str, lines: int) -> str:
    """The last lines of a log stream. Raises ``AwsError``."""
    where = {"logGroupName": group, "logStreamName": stream}
    answer = aws.call("logs", "GetLogEvents", limit=lines, startFromHead=False, **where)
    return "\n".join(str(event.get("message", "")).rstrip("\n") for event in answer.get("events") or [])

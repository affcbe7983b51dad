"""The log group is made by whoever launches, where he may: AWS's standard execution role may not.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html (awslogs-create-group)
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.once_for_all import once_for_all
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.aws.aws import Aws

_BELIEVED_SEC = 3600.0


def ensure_log_group(aws: Aws, name: str) -> None:
    """Make it, unless it is there. Asked for once in an hour and a machine; a refusal is left to the task to meet."""

    def make() -> str:
        try:
            aws.call("logs", "CreateLogGroup", logGroupName=name)
        except AwsError as error:
            return str(error.code)
        return ""

    key = hashlib.sha256(name.encode()).hexdigest()[:24]
    once_for_all(aws.notes("log-groups"), key, make, success_since=time.time() - _BELIEVED_SEC)

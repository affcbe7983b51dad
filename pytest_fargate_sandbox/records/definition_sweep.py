"""Task definitions that nobody has used for long: an account keeps them for ever otherwise.

A definition is found again by its content, by every process and run, so its owner is whoever registered it first, and
says so in its tag. Who misses one that was swept registers it again; tasks that run are not disturbed:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deregister-task-definition-v2.html
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.records.sweeping import is_owned
from pytest_fargate_sandbox.sandbox.task import registration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.providers.aws.aws import Aws

_OURS = re.compile(r".+-[0-9a-f]{40}")
_DAY_SEC = 24 * 3600.0


def sweep_definitions(aws: Aws, cluster: str, owner: str, days: float, *, dry_run: bool = False) -> list[str]:
    """Deregister the owner's definitions that are older than so many days, and were not used here for as long.

    None of which a task lives in the cluster. Returns their ARNs. Raises ``AwsError``.
    """
    since = time.time() - days * _DAY_SEC
    swept = []
    for family in filter(_OURS.fullmatch, _families(aws)):
        if registration.used_at(aws, family) > since:
            continue
        arn = _unused(aws, cluster, owner, family, since)
        if arn:
            swept.append(arn)
            if not dry_run:
                aws.call("ecs", "DeregisterTaskDefinition", taskDefinition=arn)
                registration.forget(aws, family)
    return swept


def _families(aws: Aws) -> Iterator[str]:
    page: dict[str, Any] = {}
    while True:
        answer = aws.call("ecs", "ListTaskDefinitionFamilies", status="ACTIVE", **page)
        yield from answer.get("families") or []
        if not answer.get("nextToken"):
            return
        page = {"nextToken": answer["nextToken"]}


def _unused(aws: Aws, cluster: str, owner: str, family: str, since: float) -> str:
    """The ARN of what is active in the family, if it is the owner's, older than that, and no task needs it."""
    try:
        answer = aws.call("ecs", "DescribeTaskDefinition", taskDefinition=family, include=["TAGS"])
    except AwsError as error:
        if registration.is_unknown(error):
            return ""  # somebody else was at it
        raise
    definition = answer["taskDefinition"]
    is_old = definition["registeredAt"].timestamp() < since
    if not is_old or not is_owned(answer, owner):
        return ""
    alive = aws.call("ecs", "ListTasks", cluster=cluster, family=family, maxResults=1)["taskArns"]
    return "" if alive else str(definition["taskDefinitionArn"])

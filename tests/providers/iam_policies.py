"""The IAM policies that docs/aws.md tells users to attach, and whether they let a call of ours through."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest_fargate_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(pytest_fargate_sandbox.__file__).parents[1] / "docs" / "aws.md").read_text()
POLICIES = [
    (whose, json.loads(text)) for whose, text in re.findall(r"<!-- iam: (\w+) -->\n```json\n(.*?)```", PAGE, re.DOTALL)
]


def statements(whose: str) -> list[dict[str, Any]]:
    return [statement for policy_of, policy in POLICIES if policy_of == whose for statement in policy["Statement"]]


def actions(statement: dict[str, Any]) -> list[str]:
    return _listed(statement["Action"])


def conditions(statement: dict[str, Any]) -> dict[str, list[str]]:
    """Keys and what they may be, whatever the operator: ours all mean equal."""
    return {key: _listed(value) for each in statement.get("Condition", {}).values() for key, value in each.items()}


class Ask(NamedTuple):
    """What IAM is asked for one call: an action on a resource, and what else is known of it."""

    action: str
    resource: str
    context: dict[str, str]

    def is_let_through(self, place: dict[str, str]) -> bool:
        """By the caller's policies, where ``place`` tells what stands in the page for what is there."""
        return any(self._fits(statement, place) for statement in statements("caller"))

    def _fits(self, statement: dict[str, Any], place: dict[str, str]) -> bool:
        resources = [_at(each, place) for each in _listed(statement["Resource"])]
        return (
            self.action in actions(statement)
            and any(fnmatchcase(self.resource, each) for each in resources)
            and all(
                self.context.get(key) in [_at(value, place) for value in values]
                for key, values in conditions(statement).items()
            )
        )


def asks(service: str, operation: str, call: dict[str, Any], *, region: str, owner: str) -> Iterator[Ask]:
    """After https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html"""
    ecs, logs = f"arn:aws:ecs:{region}:123456789012", f"arn:aws:logs:{region}:123456789012"
    cluster = str(call.get("cluster"))
    context = {"ecs:cluster": f"{ecs}:cluster/{cluster}"}
    of_owner = {"aws:ResourceTag/fargate-sandbox:owner": owner}
    at_creation = {"ecs:CreateAction": operation}
    resources: dict[str, list[str]] = {
        "RunTask": [call.get("taskDefinition", "")],
        "DescribeTasks": call.get("tasks", []),
        "StopTask": [call.get("task", "")],
        "TagResource": [call.get("resourceArn", "")],
        "CreateLogGroup": [f"{logs}:log-group:{call.get('logGroupName')}"],
        "GetLogEvents": [f"{logs}:log-group:{call.get('logGroupName')}:log-stream:{call.get('logStreamName')}"],
        "PutObject": [f"arn:aws:s3:::{call.get('Bucket')}/{call.get('Key')}"],
        "HeadObject": [f"arn:aws:s3:::{call.get('Bucket')}/{call.get('Key')}"],
    }
    if operation == "GetCallerIdentity":
        return
    action = "s3:GetObject" if operation == "HeadObject" else f"{service}:{operation}"
    for resource in resources.get(operation, ["*"]):
        yield Ask(action, resource, {**context, **of_owner})
    if operation == "RunTask":
        yield Ask("ecs:TagResource", f"{ecs}:task/{cluster}/{'0' * 32}", at_creation)
    if operation == "RegisterTaskDefinition":
        yield Ask("ecs:TagResource", f"{ecs}:task-definition/{call['family']}:1", at_creation)
        yield Ask("iam:PassRole", call["executionRoleArn"], {"iam:PassedToService": "ecs-tasks.amazonaws.com"})


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _at(text: str, place: dict[str, str]) -> str:
    for word, real in place.items():
        text = text.replace(word, real)
    return text

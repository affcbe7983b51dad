"""A registration is made once for its content, and found again by every thread, process and later run.

What is known to be registered stands in our notes on that account, so that a process asks ECS only about what nobody
on this machine has met: one DescribeTaskDefinition, and a RegisterTaskDefinition where that found nothing.
"""

from __future__ import annotations

import time
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.file_lock import FileLock, patiently
from pytest_fargate_sandbox.leaves.names import TAG_OWNER
from pytest_fargate_sandbox.leaves.user_cache import write_private
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.sandbox.task.launch import tag_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_fargate_sandbox.providers.aws.aws import Aws

_CONCURRENT_SEC = 60.0
"""How long a registration is tried again where others are at it, or ECS has trouble of its own."""

_UNKNOWN_CODES = ("ClientException", "InvalidParameterException", "ResourceNotFoundException")


def registered(aws: Aws, payload: dict[str, Any], owner: str) -> str:
    """The ARN under which ``payload`` is registered, by ``owner`` now or by anybody before."""
    family = payload["family"]
    note = _note(aws, family)
    if note.exists():
        return _used(note)
    with patiently(FileLock(note.with_suffix(".lock")), f"the registration of {family}"):
        if not note.exists():
            write_private(note, _found(aws, family) or _register(aws, payload, owner))
        return _used(note)


def _used(note: Path) -> str:
    note.touch()
    return note.read_text()


def used_at(aws: Aws, family: str) -> float:
    """When somebody on this machine last launched a task of it, in seconds since the epoch; 0 if nobody has."""
    try:
        return _note(aws, family).stat().st_mtime
    except FileNotFoundError:
        return 0.0


def forget(aws: Aws, family: str) -> None:
    """ECS does not know it any more: somebody deregistered it."""
    _note(aws, family).unlink(missing_ok=True)


def is_unknown(error: AwsError) -> bool:
    """Whether ``error`` says that there is no such task definition, or none that is active."""
    about = error.reason.replace(" ", "").lower()
    return error.code in _UNKNOWN_CODES and "taskdefinition" in about


@cache
def base_definition(aws: Aws, name: str, *, or_none: bool) -> dict[str, Any] | None:
    """The task definition to clone; asked for once in a process. ``or_none``: a warning will do where there is none."""
    try:
        base: dict[str, Any] = aws.call("ecs", "DescribeTaskDefinition", taskDefinition=name)["taskDefinition"]
    except AwsError as error:
        if not (or_none and is_unknown(error)):
            raise
        warnings.warn(
            f"there is no task definition {name!r} to clone (`task_definition`): sandboxes are made without one",
            RuntimeWarning,
            stacklevel=4,
        )
        return None
    return base


def definition_of(aws: Aws, task: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a task was made of that somebody launched. Raises ``AwsError``."""
    definition: Mapping[str, Any] = aws.call("ecs", "DescribeTaskDefinition", taskDefinition=task["taskDefinitionArn"])[
        "taskDefinition"
    ]
    return definition


def _found(aws: Aws, family: str) -> str | None:
    try:
        found = aws.call("ecs", "DescribeTaskDefinition", taskDefinition=family)["taskDefinition"]
    except AwsError as error:
        if error.code in _UNKNOWN_CODES:
            return None
        raise
    return str(found["taskDefinitionArn"]) if found.get("status", "ACTIVE") == "ACTIVE" else None


def _register(aws: Aws, payload: dict[str, Any], owner: str) -> str:
    """Ours, or that of whoever else was at it: of many that register a family at once, ECS refuses all but one."""
    tags = {"tags": [{"key": TAG_OWNER, "value": tag_text(owner)}]}
    deadline, rests = time.monotonic() + _CONCURRENT_SEC, pauses(0.2, 5.0)
    while True:
        try:
            answer = aws.call_once("ecs", "RegisterTaskDefinition", **payload, **tags)
            return str(answer["taskDefinition"]["taskDefinitionArn"])
        except AwsError as error:
            if tags and "ecs:TagResource" in error.reason:
                tags = {}  # it only keeps it from being swept
                continue
            if not error.transient or error.gone or time.monotonic() > deadline:
                raise
        time.sleep(next(rests))
        found = _found(aws, payload["family"])
        if found:
            return found


def _note(aws: Aws, family: str) -> Path:
    return aws.notes("registrations") / family

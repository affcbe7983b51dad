"""What RunTask, DescribeTasks and ListTasks refuse, as far as the request alone tells."""

from __future__ import annotations

import json
import platform
import re
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.fargate_rules import (
    CLIENT_TOKEN_CHARACTERS,
    OVERRIDES_CHARACTERS,
    SECURITY_GROUPS,
    STARTED_BY_CHARACTERS,
    SUBNETS,
    TASKS_PER_DESCRIBE,
    TASKS_PER_RUN,
)
from pytest_fargate_sandbox.local.ecs.container_rules import check_memory, check_share
from pytest_fargate_sandbox.local.ecs.refusals import ClientException, InvalidParameter, PlatformUnknown
from pytest_fargate_sandbox.local.ecs.tag_rules import check_tags
from pytest_fargate_sandbox.local.ecs.task_definition_rules import (
    check_fargate_size,
    check_storage,
    fargate_cpu,
    fargate_memory,
)
from pytest_fargate_sandbox.local.ecs.variable_rules import check_environment_files, check_variables
from pytest_fargate_sandbox.local.ecs.vpc import unknown_security_groups, unknown_subnets
from pytest_fargate_sandbox.local.engine_credentials import ACCOUNT_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

_TASK_OVERRIDES = {
    "containerOverrides",
    "cpu",
    "memory",
    "ephemeralStorage",
    "executionRoleArn",
    "taskRoleArn",
    "inferenceAcceleratorOverrides",
}
_CONTAINER_OVERRIDES = {
    "name",
    "command",
    "environment",
    "environmentFiles",
    "cpu",
    "memory",
    "memoryReservation",
    "resourceRequirements",
}
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/platform-versions-retired.html
_PLATFORMS = ("LATEST", "1.4.0")
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
_TEXTS = {
    "clientToken": (re.compile(r"[!-~]*"), CLIENT_TOKEN_CHARACTERS, "the characters 33 to 126 of ASCII"),
    "startedBy": (re.compile(r"[A-Za-z0-9/_-]*"), STARTED_BY_CHARACTERS, "letters, digits, - / and _"),
}


def check_run_task(request: Mapping[str, Any]) -> None:
    """Raise InvalidParameter for what AWS refuses whatever the task definition."""
    count = request.get("count", 1)
    if not 1 <= count <= TASKS_PER_RUN:
        raise InvalidParameter(f"count must be between 1 and {TASKS_PER_RUN}.")
    if request.get("launchType") and request.get("capacityProviderStrategy"):
        raise InvalidParameter(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again."
        )
    for key in _TEXTS:
        _check_text(request, key)
    if request.get("platformVersion", "LATEST") not in _PLATFORMS:
        raise PlatformUnknown(f"The specified platform version doesn't exist: {request['platformVersion']}.")
    check_tags(request.get("tags") or [])


def check_network(request: Mapping[str, Any]) -> dict[str, Any]:
    """The awsvpc configuration; InvalidParameter where it is missing or names what is not there."""
    network: dict[str, Any] | None = (request.get("networkConfiguration") or {}).get("awsvpcConfiguration")
    if network is None:
        raise InvalidParameter("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
    subnets = network.get("subnets") or []
    if not subnets:
        raise InvalidParameter("subnets can not be empty.")
    for key, most in (("subnets", SUBNETS), ("securityGroups", SECURITY_GROUPS)):
        if len(network.get(key) or ()) > most:
            raise InvalidParameter(f"{key} can have at most {most} items. Found: {len(network[key])}.")
    for subnet in unknown_subnets(subnets):
        raise InvalidParameter(
            f"Error retrieving subnet information for [{subnet}]: The subnet ID '{subnet}' does not exist "
            "(ErrorCode: InvalidSubnetID.NotFound)"
        )
    for group in unknown_security_groups(network.get("securityGroups") or []):
        raise InvalidParameter(
            f"Error retrieving security group information for [{group}]: The security group '{group}' does not exist "
            "(ErrorCode: InvalidGroup.NotFound)"
        )
    if network.get("assignPublicIp", "DISABLED") not in ("ENABLED", "DISABLED"):
        raise InvalidParameter("assignPublicIp should be one of [ENABLED,DISABLED].")
    return network


def check_overrides(overrides: Mapping[str, Any], containers: list[str]) -> None:
    length = len(json.dumps(overrides, separators=(",", ":")))
    if length > OVERRIDES_CHARACTERS:
        raise InvalidParameter(f"Container Overrides length must be at most {OVERRIDES_CHARACTERS}. Found: {length}.")
    _check_fields(overrides, _TASK_OVERRIDES, "overrides")
    for override in overrides.get("containerOverrides") or ():
        _check_fields(override, _CONTAINER_OVERRIDES, "containerOverrides")
        if not override.get("name"):
            raise InvalidParameter("Container override must have a container name.")
        if override["name"] not in containers:
            raise InvalidParameter(
                f"Override for container named {override['name']} is not a container in the TaskDefinition."
            )


def check_overridden(containers: list[dict[str, Any]], memory: int) -> None:
    """What a definition may not say, an override may not make of it."""
    for container in containers:
        check_memory(container)
        check_environment_files(container)
        check_variables(container)
        check_share(container, memory)


def check_platform(wanted: Mapping[str, str] | None) -> None:
    """Fargate has machines of every kind; the engine has this one, which runs Linux."""
    system = (wanted or {}).get("operatingSystemFamily") or "LINUX"
    if system != "LINUX":
        raise ClientException(f"The embedded Fargate runs Linux containers only, and none for {system}.")
    here = platform.machine()
    if (wanted or {}).get("cpuArchitecture") == "ARM64" and here not in ("aarch64", "arm64"):
        raise ClientException(f"The embedded Fargate runs ARM64 containers on such machines only, and this is {here}.")


def effective_size(definition_cpu: str, definition_memory: str, overrides: Mapping[str, Any]) -> tuple[int, int, int]:
    """CPU units, MiB and GiB of storage after the overrides; refused where Fargate has no such size."""
    cpu = fargate_cpu(overrides.get("cpu") or definition_cpu)
    memory = fargate_memory(overrides.get("memory") or definition_memory)
    check_fargate_size(cpu, memory)
    storage = overrides.get("ephemeralStorage") or {}
    check_storage(storage)
    return cpu, memory, storage.get("sizeInGiB") or 0


def check_roles(*roles: str | None) -> None:
    """A role of another account, or no ARN at all, can't be assumed. One of this account is taken on trust."""
    for role in roles:
        if role and not re.fullmatch(rf"arn:aws[a-z-]*:iam::{ACCOUNT_ID}:role/.+|[\w+=,.@-]+", role):
            raise ClientException(
                f"ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the "
                "role being passed has the proper trust relationship and permissions and that your IAM user has "
                "permissions to pass this role."
            )


def check_describe_tasks(tasks: list[str]) -> None:
    if not tasks:
        raise InvalidParameter("Tasks cannot be empty.")
    if len(tasks) > TASKS_PER_DESCRIBE:
        raise InvalidParameter(f"Tasks cannot have more than {TASKS_PER_DESCRIBE} elements. Found: {len(tasks)}.")


def check_list_tasks(request: Mapping[str, Any]) -> None:
    _check_text(request, "startedBy")
    others = ("family", "serviceName", "containerInstance", "launchType", "desiredStatus")
    if request.get("startedBy") and any(request.get(other) for other in others):
        raise InvalidParameter("cannot specify startedBy with other arguments")
    if request.get("desiredStatus", "RUNNING") not in ("RUNNING", "PENDING", "STOPPED"):
        raise InvalidParameter("desiredStatus should be one of [RUNNING,PENDING,STOPPED].")


def _check_text(request: Mapping[str, Any], key: str) -> None:
    text, (allowed, most, words) = request.get(key) or "", _TEXTS[key]
    if len(text) > most:
        raise InvalidParameter(f"{key} must be at most {most} characters long. Found: {len(text)}.")
    if not allowed.fullmatch(text):
        raise InvalidParameter(f"{key} takes {words} only: {text!r}.")


def _check_fields(override: Mapping[str, Any], allowed: set[str], where: str) -> None:
    unknown = sorted(set(override) - allowed)
    if unknown:
        raise InvalidParameter(f"{where} can't override {', '.join(unknown)}; it can: {', '.join(sorted(allowed))}.")

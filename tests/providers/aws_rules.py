"""What AWS checks about a request beyond what its client does: the client knows names and types, and lets through
every other nonsense. Values, lengths and patterns are in the same service models; Fargate's own rules are written here.
"""

from __future__ import annotations

import json
import re
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape

from pytest_fargate_sandbox.leaves.fargate_rules import (
    CLIENT_TOKEN_CHARACTERS,
    HEALTH_INTERVAL_SEC,
    HEALTH_RETRIES,
    HEALTH_TIMEOUT_SEC,
    OVERRIDES_CHARACTERS,
    STARTED_BY_CHARACTERS,
    STORAGE_GIB,
    TASK_DEFINITION_BYTES,
    TASKS_PER_DESCRIBE,
    TIMEOUT_SEC,
    size_problem,
)

_TAG_KEY = r"[\w .:/=+@-]{1,128}"
_TAG_VALUE = r"[\w .:/=+@-]{0,256}"


def problems(operation: OperationModel, parameters: dict[str, Any]) -> list[str]:
    """Everything that AWS would refuse about the call."""
    found = _of_shape(operation.input_shape, parameters, operation.name) if operation.input_shape else []
    rules = {"RegisterTaskDefinition": _of_registration, "RunTask": _of_run_task, "DescribeTasks": _of_describe_tasks}
    if operation.name in rules:
        found += rules[operation.name](parameters)
    return found + _of_tags(parameters.get("tags") or [])


def _of_shape(shape: Shape, value: Any, where: str) -> list[str]:
    found = _of_limits(shape, value, where)
    if isinstance(shape, StructureShape):
        missing = [name for name in shape.required_members if name not in value]
        unknown = [name for name in value if name not in shape.members]
        found += [f"{where}.{name}: missing" for name in missing] + [f"{where}.{name}: unknown" for name in unknown]
        for name in set(value) & set(shape.members):
            found += _of_shape(shape.members[name], value[name], f"{where}.{name}")
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value):
            found += _of_shape(shape.member, item, f"{where}[{number}]")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            found += _of_shape(shape.value, item, f"{where}.{key}")
    return found


def _of_limits(shape: Shape, value: Any, where: str) -> list[str]:
    found = []
    size = len(value) if isinstance(value, (str, list, dict, bytes)) else value
    limits = shape.metadata
    if isinstance(size, (int, float)) and not isinstance(value, bool):
        if "min" in limits and size < limits["min"]:
            found.append(f"{where}: {size} is less than {limits['min']}")
        if "max" in limits and size > limits["max"]:
            found.append(f"{where}: {size} is more than {limits['max']}")
    if isinstance(shape, StringShape) and isinstance(value, str):
        if shape.enum and value not in shape.enum:
            found.append(f"{where}: {value!r} is none of {shape.enum}")
        pattern = limits.get("pattern")
        if pattern and "\\p" not in pattern and not re.search(pattern, value):
            found.append(f"{where}: {value!r} does not fit {pattern}")
    return found


def _of_registration(call: dict[str, Any]) -> list[str]:
    found = []
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", call["family"]):
        found.append(f"family {call['family']!r}")
    if problem := size_problem(int(call["cpu"]), int(call["memory"])):
        found.append(problem)
    if len(json.dumps(call).encode()) > TASK_DEFINITION_BYTES:
        found.append("more than 64 KiB")
    if call.get("networkMode") != "awsvpc" or call.get("requiresCompatibilities") != ["FARGATE"]:
        found.append("not for Fargate")
    storage = call.get("ephemeralStorage")
    if storage and storage["sizeInGiB"] not in STORAGE_GIB:
        found.append(f"ephemeralStorage {storage}")
    volumes = {volume["name"] for volume in call.get("volumes", [])}
    for container in call["containerDefinitions"]:
        found += [f"{container['name']}: {each}" for each in _of_container(container, call, volumes)]
    return found


def _of_container(container: dict[str, Any], call: dict[str, Any], volumes: set[str]) -> list[str]:
    found = []
    if {"hostname", "links", "dockerSecurityOptions"} & set(container) or container.get("privileged"):
        found.append("has what Fargate refuses")
    others = {each["name"]: each for each in call["containerDefinitions"]}
    for need in container.get("dependsOn", []):
        other = others.get(need["containerName"])
        if other is None:
            found.append(f"depends on {need['containerName']}, which is not there")
        elif need["condition"] == "HEALTHY" and "healthCheck" not in other:
            found.append(f"waits for the health of {other['name']}, which has no check")
        elif need["condition"] in ("COMPLETE", "SUCCESS") and other.get("essential", True):
            found.append(f"waits for the end of {other['name']}, which is essential")
    timeouts = {name: container[name] for name in ("startTimeout", "stopTimeout") if name in container}
    found += [f"{name} {seconds}" for name, seconds in timeouts.items() if seconds not in TIMEOUT_SEC]
    check = container.get("healthCheck")
    if check and not (
        check["interval"] in HEALTH_INTERVAL_SEC
        and check["timeout"] in HEALTH_TIMEOUT_SEC
        and check["retries"] in HEALTH_RETRIES
        and 0 <= check["startPeriod"] <= 300
    ):
        found.append(f"healthCheck {check}")
    found += [
        f"mounts {mount['sourceVolume']}, which is not there"
        for mount in container.get("mountPoints", [])
        if mount["sourceVolume"] not in volumes
    ]
    return found


def _of_run_task(call: dict[str, Any]) -> list[str]:
    found = []
    if len(json.dumps(call.get("overrides", {}))) > OVERRIDES_CHARACTERS:
        found.append("overrides too long")
    if not 1 <= len(call["clientToken"]) <= CLIENT_TOKEN_CHARACTERS:
        found.append("clientToken")
    if not re.fullmatch(rf"[A-Za-z0-9/_-]{{1,{STARTED_BY_CHARACTERS}}}", call["startedBy"]):
        found.append(f"startedBy {call['startedBy']!r}")
    if bool(call.get("launchType")) == bool(call.get("capacityProviderStrategy")):
        found.append("a launch type or a strategy, one of the two")
    return found


def _of_describe_tasks(call: dict[str, Any]) -> list[str]:
    return [] if 1 <= len(call["tasks"]) <= TASKS_PER_DESCRIBE else ["between one and a hundred tasks"]


def _of_tags(tags: list[dict[str, str]]) -> list[str]:
    found = [tag for tag in tags if not (re.fullmatch(_TAG_KEY, tag["key"]) and re.fullmatch(_TAG_VALUE, tag["value"]))]
    too_many = ["more than 50 tags"] if len(tags) > 50 else []
    return [f"tag {tag}" for tag in found] + too_many

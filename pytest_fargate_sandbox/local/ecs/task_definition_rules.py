"""What RegisterTaskDefinition refuses on Fargate. botocore checks names and types only; everything here is beyond that.

``check_task_definition`` looks at the task's own fields, ``container_rules`` at each container.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.fargate_rules import CONTAINERS, FARGATE_SIZES, STORAGE_GIB, TASK_DEFINITION_BYTES
from pytest_fargate_sandbox.local.ecs.container_rules import check_container, check_share
from pytest_fargate_sandbox.local.ecs.refusals import ClientException
from pytest_fargate_sandbox.local.ecs.volume_rules import check_volumes

if TYPE_CHECKING:
    from collections.abc import Mapping

_FAMILY = re.compile(r"[A-Za-z0-9_-]{1,255}")
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RuntimePlatform.html
_PLATFORM = {
    "operatingSystemFamily": (
        "LINUX",
        "WINDOWS_SERVER_2019_CORE",
        "WINDOWS_SERVER_2019_FULL",
        "WINDOWS_SERVER_2022_CORE",
        "WINDOWS_SERVER_2022_FULL",
        "WINDOWS_SERVER_2025_CORE",
        "WINDOWS_SERVER_2025_FULL",
    ),
    "cpuArchitecture": ("X86_64", "ARM64"),
}
_NO_CONFIGURATION = "No Fargate configuration exists for given values"


def check_task_definition(request: Mapping[str, Any], body_bytes: int) -> None:
    """Raise ClientException for what AWS would not register."""
    if body_bytes > TASK_DEFINITION_BYTES:
        raise ClientException(f"Actual length: '{body_bytes}'. Max allowed length is '{TASK_DEFINITION_BYTES}' bytes.")
    if not _FAMILY.fullmatch(request.get("family") or ""):
        raise ClientException(
            "Family contains invalid characters. Only letters, numbers, hyphens and underscores are allowed."
        )
    containers = request.get("containerDefinitions") or []
    if not containers:
        raise ClientException("Container list cannot be empty.")
    if len(containers) > CONTAINERS:
        raise ClientException(
            f"A task definition has at most {CONTAINERS} container definitions. Found: {len(containers)}."
        )
    if "FARGATE" in (request.get("requiresCompatibilities") or ()):
        _check_fargate(request)
    check_volumes(request)
    for container in containers:
        check_container(container, request)
    _check_names(containers)
    _check_ports(containers)
    _check_dependencies(containers)
    if not any(container.get("essential", True) for container in containers):
        raise ClientException(
            "Invalid 'essential' setting: at least one container in the task definition must be essential."
        )


def fargate_cpu(text: str) -> int:
    """CPU units from ``1024`` or ``1 vCPU``; ClientException for anything else."""
    match = re.fullmatch(r"([0-9]{1,9})|([0-9]{0,9}\.?[0-9]{1,9})\s*vcpu", text.strip(), re.IGNORECASE)
    if match is None:
        raise ClientException(f"Invalid 'cpu' setting for task: {text!r}.")
    return int(match[1]) if match[1] else int(float(match[2]) * 1024)


def fargate_memory(text: str) -> int:
    """MiB from ``2048`` or ``2 GB``; ClientException for anything else."""
    match = re.fullmatch(r"([0-9]{1,9})|([0-9]{0,9}\.?[0-9]{1,9})\s*gb", text.strip(), re.IGNORECASE)
    if match is None:
        raise ClientException(f"Invalid 'memory' setting for task: {text!r}.")
    return int(match[1]) if match[1] else int(float(match[2]) * 1024)


def check_fargate_size(cpu: int, memory: int) -> None:
    if memory not in FARGATE_SIZES.get(cpu, ()):
        raise ClientException(f"{_NO_CONFIGURATION}: {cpu} CPU, {memory} memory.")


def check_storage(storage: Mapping[str, Any] | None) -> None:
    size = (storage or {}).get("sizeInGiB")
    if size is not None and size not in STORAGE_GIB:
        raise ClientException(
            f"EphemeralStorage size must be between {STORAGE_GIB[0]} GiB and {STORAGE_GIB[-1]} GiB. Found: {size}."
        )


def _check_fargate(request: Mapping[str, Any]) -> None:
    if request.get("networkMode") != "awsvpc":
        raise ClientException("Fargate only supports network mode 'awsvpc'.")
    for key in ("cpu", "memory"):
        if not request.get(key):
            raise ClientException(f"Fargate requires that '{key}' be defined at the task level.")
    cpu, memory = fargate_cpu(request["cpu"]), fargate_memory(request["memory"])
    check_fargate_size(cpu, memory)
    check_storage(request.get("ephemeralStorage"))
    _check_shares(request["containerDefinitions"], cpu, memory)
    for key in ("placementConstraints", "inferenceAccelerators", "ipcMode"):
        if request.get(key):
            raise ClientException(f"Tasks using the Fargate launch type do not support {key}.")
    if (request.get("pidMode") or "task") != "task":
        raise ClientException(
            f"Tasks using the Fargate launch type do not support pidMode '{request['pidMode']}'. The supported value "
            "for pidMode is 'task'."
        )
    _check_platform(request.get("runtimePlatform") or {})
    _check_execution_role(request)


def _check_platform(platform: Mapping[str, str]) -> None:
    for key, allowed in _PLATFORM.items():
        if platform.get(key, allowed[0]) not in allowed:
            raise ClientException(f"{key} should be one of [{','.join(allowed)}], not {platform[key]!r}.")


def _check_shares(containers: list[dict[str, Any]], cpu: int, memory: int) -> None:
    asked = sum(container.get("cpu") or 0 for container in containers)
    if asked > cpu:
        raise ClientException(f"Invalid 'cpu' setting for containers: {asked} in all is more than the task's {cpu}.")
    for container in containers:
        check_share(container, memory)


def _check_execution_role(request: Mapping[str, Any]) -> None:
    if request.get("executionRoleArn"):
        return
    for container in request["containerDefinitions"]:
        if container.get("secrets"):
            raise ClientException(
                "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
            )
        if container.get("environmentFiles"):
            raise ClientException(
                "Fargate requires task definition to have execution role ARN to support environment files."
            )
        if re.search(r"\.dkr\.ecr\.[^/]+/", container.get("image") or ""):
            raise ClientException("Fargate requires task definition to have execution role ARN to support ECR images.")
        if (container.get("logConfiguration") or {}).get("logDriver") == "awslogs":
            raise ClientException(
                "Fargate requires task definition to have execution role ARN to support log driver awslogs."
            )


def _check_names(containers: list[dict[str, Any]]) -> None:
    names = [container["name"] for container in containers]
    if len(set(names)) != len(names):
        raise ClientException("Container.name must be unique within a task definition.")


def _check_ports(containers: list[dict[str, Any]]) -> None:
    """All containers of a task share its network interface.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-networking.html
    """
    seen = set()
    for mapping in (mapping for container in containers for mapping in container.get("portMappings") or ()):
        ports = mapping.get("containerPort") or mapping.get("containerPortRange")
        port = (mapping.get("protocol") or "tcp", ports)
        if port in seen:
            raise ClientException(f"{port[0].upper()} host port '{port[1]}' is mapped multiple times in task.")
        seen.add(port)


def _check_dependencies(containers: list[dict[str, Any]]) -> None:
    by_name = {container["name"]: container for container in containers}
    for container in containers:
        for wanted in container.get("dependsOn") or ():
            _check_dependency(container["name"], wanted, by_name)
    _check_no_cycle({name: [w["containerName"] for w in c.get("dependsOn") or ()] for name, c in by_name.items()})


def _check_dependency(name: str, wanted: Mapping[str, Any], by_name: Mapping[str, Any]) -> None:
    dependency, condition = by_name.get(wanted.get("containerName") or ""), wanted.get("condition")
    if dependency is None:
        raise ClientException(
            f"Invalid 'dependsOn' setting for container '{name}': no container is named "
            f"'{wanted.get('containerName')}'."
        )
    if condition not in ("START", "COMPLETE", "SUCCESS", "HEALTHY"):
        raise ClientException(f"condition should be one of [START,COMPLETE,SUCCESS,HEALTHY], not {condition!r}.")
    if condition in ("COMPLETE", "SUCCESS") and dependency.get("essential", True):
        raise ClientException(
            f"A container that other containers wait for with {condition} cannot be essential: '{dependency['name']}'."
        )
    if condition == "HEALTHY" and not dependency.get("healthCheck"):
        raise ClientException(
            f"Container '{name}' depends on '{dependency['name']}' being HEALTHY, which has no health check."
        )


def _check_no_cycle(wants: Mapping[str, list[str]]) -> None:
    left = dict(wants)
    while left:
        free = [name for name, needed in left.items() if not any(other in left for other in needed)]
        if not free:
            raise ClientException(f"The container dependencies form a cycle: {', '.join(left)}.")
        for name in free:
            del left[name]

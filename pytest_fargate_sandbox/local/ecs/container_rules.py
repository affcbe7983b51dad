"""What RegisterTaskDefinition refuses in a single container definition."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.fargate_rules import (
    HEALTH_INTERVAL_SEC,
    HEALTH_RETRIES,
    HEALTH_TIMEOUT_SEC,
    TIMEOUT_SEC,
)
from pytest_fargate_sandbox.local.ecs.refusals import ClientException, invalid_setting
from pytest_fargate_sandbox.local.ecs.variable_rules import check_environment_files, check_secrets, check_variables
from pytest_fargate_sandbox.local.ecs.volume_rules import check_mounts

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_UNSUPPORTED = (
    "links",
    "extraHosts",
    "dnsServers",
    "dnsSearchDomains",
    "dockerSecurityOptions",
    "disableNetworking",
    "resourceRequirements",
)
_UNSUPPORTED_LINUX = ("devices", "sharedMemorySize", "maxSwap", "swappiness")
_FARGATE_LOG_DRIVERS = ("awslogs", "splunk", "awsfirelens")
_START_PERIOD_SEC = range(301)
_PORTS = range(1, 65536)
_PORT_RANGE = re.compile("([0-9]{1,5})-([0-9]{1,5})")


def check_container(container: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """Raise ClientException for what AWS would not register in ``container``, one of ``request``'s."""
    for key in ("name", "image"):
        if not container.get(key):
            raise ClientException(f"Container.{key} should not be null or empty.")
    if not _NAME.fullmatch(container["name"]):
        raise ClientException(
            "Container.name contains invalid characters. Only letters, numbers, hyphens and underscores are allowed."
        )
    if request.get("networkMode") == "awsvpc":
        _check_awsvpc(container)
    if "FARGATE" in (request.get("requiresCompatibilities") or ()):
        _check_fargate(container)
    _check_timeouts(container)
    _check_health(container)
    check_memory(container)
    check_environment_files(container)
    _check_restarts(container)
    check_mounts(container, request)
    check_variables(container)
    check_secrets(container)
    _check_log(container)


def _check_awsvpc(container: Mapping[str, Any]) -> None:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_PortMapping.html"""
    if container.get("hostname"):
        raise ClientException("hostname is not supported on container when networkMode=awsvpc.")
    for port in container.get("portMappings") or ():
        if not _has_ports(port):
            raise ClientException(f"Invalid 'containerPort' setting for container '{container['name']}'.")
        if port.get("hostPort") not in (None, 0, port.get("containerPort")):
            raise ClientException(
                "When networkMode=awsvpc, the host ports and container ports in port mappings must match."
            )
        if (port.get("protocol") or "tcp") not in ("tcp", "udp"):
            raise invalid_setting(container, f"'protocol' must be tcp or udp. Found: {port['protocol']}.")


def _has_ports(mapping: Mapping[str, Any]) -> bool:
    """One, or a range of them."""
    if "containerPortRange" not in mapping:
        return mapping.get("containerPort") in _PORTS
    found = _PORT_RANGE.fullmatch(mapping["containerPortRange"])
    if not found:
        return False
    first, last = int(found[1]), int(found[2])
    return first in _PORTS and last in _PORTS and first <= last and "containerPort" not in mapping


def _check_fargate(container: Mapping[str, Any]) -> None:
    if container.get("privileged"):
        raise invalid_setting(container, "'privileged' is not supported on Fargate.")
    linux = container.get("linuxParameters") or {}
    added = set((linux.get("capabilities") or {}).get("add") or ()) - {"SYS_PTRACE"}
    if added:
        raise invalid_setting(
            container, f"Fargate adds no capability but SYS_PTRACE; found {', '.join(sorted(added))} in 'capabilities'."
        )
    for key in _UNSUPPORTED:
        if container.get(key):
            raise invalid_setting(container, f"'{key}' is not supported on Fargate.")
    for key in _UNSUPPORTED_LINUX:
        if linux.get(key):
            raise invalid_setting(container, f"'linuxParameters.{key}' is not supported on Fargate.")


def check_memory(container: Mapping[str, Any]) -> None:
    memory, reserved = container.get("memory"), container.get("memoryReservation")
    if memory and reserved and reserved > memory:
        raise invalid_setting(container, f"'memoryReservation' ({reserved}) must not be more than 'memory' ({memory}).")


def check_share(container: Mapping[str, Any], memory: int) -> None:
    """Of the task's ``memory``."""
    most = max(container.get("memory") or 0, container.get("memoryReservation") or 0)
    if most > memory:
        raise ClientException(
            f"Invalid setting for container '{container.get('name')}'. Its memory of {most} MiB is more than the "
            f"task's {memory}."
        )


def _check_restarts(container: Mapping[str, Any]) -> None:
    """Fargate does it, the engine does not: to say so is better than a container that stays down."""
    if (container.get("restartPolicy") or {}).get("enabled"):
        raise invalid_setting(
            container, "'restartPolicy' is not supported by the embedded Fargate: it restarts no container."
        )


def _check_timeouts(container: Mapping[str, Any]) -> None:
    for key in ("startTimeout", "stopTimeout"):
        _check_range(container, key, container.get(key), TIMEOUT_SEC)


def _check_health(container: Mapping[str, Any]) -> None:
    check = container.get("healthCheck")
    if not check:
        return
    command = check.get("command") or []
    if not command or (command[0] in ("CMD", "CMD-SHELL") and len(command) < 2):
        raise invalid_setting(container, "'healthCheck.command' must start with CMD or CMD-SHELL and name a command.")
    for key, allowed in (
        ("interval", HEALTH_INTERVAL_SEC),
        ("timeout", HEALTH_TIMEOUT_SEC),
        ("retries", HEALTH_RETRIES),
        ("startPeriod", _START_PERIOD_SEC),
    ):
        _check_range(container, f"healthCheck.{key}", check.get(key), allowed)


def _check_range(container: Mapping[str, Any], key: str, value: int | None, allowed: range) -> None:
    if value is not None and value not in allowed:
        raise invalid_setting(container, f"'{key}' must be between {allowed[0]} and {allowed[-1]}. Found: {value}.")


def _check_log(container: Mapping[str, Any]) -> None:
    configuration = container.get("logConfiguration")
    if not configuration:
        return
    driver = configuration.get("logDriver")
    if driver not in _FARGATE_LOG_DRIVERS:
        raise invalid_setting(container, f"Log driver '{driver}' is not supported on Fargate.")
    options = configuration.get("options") or {}
    if driver == "awslogs":
        for key in ("awslogs-group", "awslogs-region", "awslogs-stream-prefix"):
            if not options.get(key):
                raise ClientException(f"Log driver awslogs requires options: {key}.")

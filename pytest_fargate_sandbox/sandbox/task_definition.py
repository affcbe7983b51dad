"""What is registered with ECS, as a pure function of the configuration.

A registration costs a scarce call, so it holds nothing of a single sandbox: token, keys and environment travel with
each task. Its family is a hash of all the rest, by which every process and every later run finds it again.
"""

from __future__ import annotations

import copy
import hashlib
import json
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.fargate_rules import DEFAULT_STORAGE_GIB, FARGATE_SIZES, TASK_DEFINITION_BYTES
from pytest_fargate_sandbox.leaves.names import (
    ENV_SERVER_PORT,
    SHARED_DIR,
    SHARED_VOLUME,
    SIDECAR_CONTAINER,
    SIDECAR_REFERENCE,
    STOP_TIMEOUT_SEC,
)
from pytest_fargate_sandbox.sandbox.sidecar import sidecar_container
from pytest_fargate_sandbox.server.bundle import server_command

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig, SshSidecarConfig

Payload = dict[str, Any]

_CLONED = ("taskRoleArn", "executionRoleArn", "volumes", "runtimePlatform", "proxyConfiguration", "pidMode")
"""What a clone takes over from its base as it stands. The rest is ours, or is not for Fargate."""


def registration(
    cfg: EcsFargateConfig,
    *,
    image: str | None,
    region: str,
    reverse_ports: bool = False,
    environment: Mapping[str, str] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Payload:
    """The parameters of RegisterTaskDefinition, ``family`` among them.

    ``base`` is the task definition to clone. ``environment`` is for values that are too long to travel with a task.
    """
    sidecar = sidecar_of(cfg)
    containers = _containers(cfg, sidecar, image, region, reverse_ports, environment or {}, base or {})
    payload: Payload = {
        **{key: copy.deepcopy(base[key]) for key in _CLONED if base and base.get(key)},
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        **_size(cfg, base or {}),
        "containerDefinitions": containers,
    }
    payload["volumes"] = [*payload.get("volumes", []), *_volumes(cfg)]
    payload.update(_roles(cfg, base))
    payload.setdefault("runtimePlatform", {"operatingSystemFamily": "LINUX", "cpuArchitecture": cfg.cpu_architecture})
    return _named(cfg, payload)


def sidecar_of(cfg: EcsFargateConfig) -> SshSidecarConfig:
    """The configured sidecar, without which there is no way in."""
    if cfg.ssh_sidecar is None:
        raise ConfigError(
            "ssh_sidecar is not configured, and it is the way into the task: "
            "ssh_sidecar=SshSidecarConfig(exec_server_port=19542) for exec-server mode, "
            "SshSidecarConfig() and container_port= for agent-server mode",
            key="ssh_sidecar",
        )
    if cfg.ssh_sidecar.exec_server_port is None and cfg.container_port is None:
        raise ConfigError(
            "container_port is missing: agent-server mode forwards local_port to where the image's own command "
            "listens; set it in the configuration, or ssh_sidecar.exec_server_port for exec-server mode",
            key="container_port",
        )
    return cfg.ssh_sidecar


def _containers(
    cfg: EcsFargateConfig,
    sidecar: SshSidecarConfig,
    image: str | None,
    region: str,
    reverse_ports: bool,
    environment: Mapping[str, str],
    base: Mapping[str, Any],
) -> list[Payload]:
    main, others = _split(cfg, base)
    if image:
        main["image"] = image
    if not main.get("image"):
        raise ConfigError(
            "there is no image: set image_template, or ecr_repository and environment_dir, or task_definition",
            key="image_template",
        )
    logs = _log_configuration(cfg, region)
    _merge_environment(main, environment)
    _add_common(cfg, sidecar, main, logs)
    if sidecar.exec_server_port is not None:
        _make_exec_server(cfg, main, sidecar.exec_server_port)
    ours = sidecar_container(
        sidecar,
        image=sidecar.image or SIDECAR_REFERENCE,
        runtime=cfg.runtime,
        reverse_ports=reverse_ports,
        log_configuration=logs,
    )
    return [main, *others, ours]


def _split(cfg: EcsFargateConfig, base: Mapping[str, Any]) -> tuple[Payload, list[Payload]]:
    """The main container to work on and those that come along; a sidecar of an earlier clone does not."""
    containers: list[Payload] = copy.deepcopy(list(base.get("containerDefinitions") or []))
    if not containers:
        return {"name": cfg.container_name}, []
    mains = [each for each in containers if each["name"] == cfg.container_name]
    if not mains:
        there = ", ".join(each["name"] for each in containers)
        raise ConfigError(
            f"container_name={cfg.container_name!r}: the task definition {cfg.task_definition!r} has no such "
            f"container; it has {there}",
            key="container_name",
            value=cfg.container_name,
            allowed=there,
        )
    return mains[0], [each for each in containers if each["name"] not in (cfg.container_name, SIDECAR_CONTAINER)]


def _add_common(cfg: EcsFargateConfig, sidecar: SshSidecarConfig, main: Payload, logs: Payload | None) -> None:
    main["essential"] = True
    main["stopTimeout"] = STOP_TIMEOUT_SEC
    # HEALTHY costs a health check's interval, five seconds on AWS. In exec-server mode we look ourselves, all the time.
    needs_healthy = sidecar.exec_server_port is None or cfg.runtime == "sidecar"
    condition = {"containerName": SIDECAR_CONTAINER, "condition": "HEALTHY" if needs_healthy else "START"}
    main["dependsOn"] = [*main.get("dependsOn", []), condition]
    if cfg.user is not None:
        main["user"] = cfg.user
    if logs:
        main["logConfiguration"] = logs
    mounts = [_efs_mount(number, volume) for number, volume in enumerate(cfg.volumes)]
    if mounts:
        main["mountPoints"] = [*main.get("mountPoints", []), *mounts]
    if cfg.container_port is not None and sidecar.exec_server_port is None:
        _add_port(main, cfg.container_port)


def _make_exec_server(cfg: EcsFargateConfig, main: Payload, port: int) -> None:
    """An image's own entryPoint would swallow our command, and a cloned health check would test what does not run."""
    main["entryPoint"], main["command"] = server_command(cfg.runtime)
    main.pop("healthCheck", None)
    _merge_environment(main, {ENV_SERVER_PORT: str(port)})
    main["mountPoints"] = [
        *main.get("mountPoints", []),
        {"sourceVolume": SHARED_VOLUME, "containerPath": SHARED_DIR, "readOnly": False},
    ]


def _merge_environment(container: Payload, more: Mapping[str, str]) -> None:
    merged = {each["name"]: each["value"] for each in container.get("environment", [])}
    merged.update(more)
    if merged:
        container["environment"] = [{"name": name, "value": merged[name]} for name in sorted(merged)]


def _add_port(container: Payload, port: int) -> None:
    mappings = container.setdefault("portMappings", [])
    if all(each.get("containerPort") != port for each in mappings):
        mappings.append({"containerPort": port, "protocol": "tcp"})


def _log_configuration(cfg: EcsFargateConfig, region: str) -> Payload | None:
    if not cfg.log_group:
        return None
    return {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": cfg.log_group,
            "awslogs-region": region,
            "awslogs-stream-prefix": cfg.log_stream_prefix or cfg.task_definition_family_prefix,
            "awslogs-create-group": "true",
        },
    }


def _volumes(cfg: EcsFargateConfig) -> list[Payload]:
    return [{"name": SHARED_VOLUME}, *(_efs_volume(number, volume) for number, volume in enumerate(cfg.volumes))]


def _efs_volume(number: int, volume: Mapping[str, Any]) -> Payload:
    efs: Payload = {"fileSystemId": volume["file_system_id"], "transitEncryption": "ENABLED"}
    if volume.get("access_point_id"):
        efs["authorizationConfig"] = {"accessPointId": volume["access_point_id"], "iam": "ENABLED"}
    elif volume.get("root_directory"):  # with an access point ECS refuses any other root directory
        efs["rootDirectory"] = volume["root_directory"]
    return {"name": _efs_name(number), "efsVolumeConfiguration": efs}


def _efs_mount(number: int, volume: Mapping[str, Any]) -> Payload:
    return {
        "sourceVolume": _efs_name(number),
        "containerPath": volume["path"],
        "readOnly": bool(volume.get("read_only", False)),
    }


def _efs_name(number: int) -> str:
    return f"efs-{number}"


def _roles(cfg: EcsFargateConfig, base: Mapping[str, Any] | None) -> Payload:
    roles: Payload = {}
    if cfg.execution_role_arn:
        roles["executionRoleArn"] = cfg.execution_role_arn
    elif base is None:
        raise ConfigError(
            "execution_role_arn is missing: without a task_definition to clone, the role with which ECS pulls images "
            "and writes logs has to be named (AmazonECSTaskExecutionRolePolicy is what it needs)",
            key="execution_role_arn",
        )
    if cfg.task_role_arn:
        roles["taskRoleArn"] = cfg.task_role_arn
    return roles


def _size(cfg: EcsFargateConfig, base: Mapping[str, Any]) -> Payload:
    """The larger of both, as a pair that Fargate has."""
    cpu = max(int(cfg.cpu), int(base.get("cpu") or 0))
    memory = max(int(cfg.memory), int(base.get("memory") or 0))
    size: Payload = dict(zip(("cpu", "memory"), map(str, _smallest_pair(cpu, memory)), strict=True))
    storage = max(
        cfg.ephemeral_storage_gib or DEFAULT_STORAGE_GIB,
        (base.get("ephemeralStorage") or {}).get("sizeInGiB", DEFAULT_STORAGE_GIB),
    )
    if storage > DEFAULT_STORAGE_GIB:
        size["ephemeralStorage"] = {"sizeInGiB": storage}
    return size


def _smallest_pair(cpu: int, memory: int) -> tuple[int, int]:
    pairs = [(units, mib) for units, sizes in FARGATE_SIZES.items() for mib in sizes if units >= cpu and mib >= memory]
    return min(pairs, default=(cpu, memory))


def _named(cfg: EcsFargateConfig, payload: Payload) -> Payload:
    canonical = json.dumps(payload, sort_keys=True, separators=(",", ":"))
    if len(canonical.encode()) > TASK_DEFINITION_BYTES:
        raise ConfigError(
            f"the task definition has {len(canonical.encode())} bytes, and ECS takes {TASK_DEFINITION_BYTES}: "
            "shorten extra_env, or put long values into files",
            key="extra_env",
        )
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:40]
    return {"family": f"{cfg.task_definition_family_prefix}-{digest}", **payload}

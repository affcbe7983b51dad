"""What is registered with ECS, as a pure function of the configuration, and what travels with each task instead.

A registration costs a scarce call, so it holds nothing of a single sandbox: token, keys and environment travel with
each task. Its family is a hash of all the rest, by which every process and every later run finds it again.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.fargate_rules import DEFAULT_STORAGE_GIB, FARGATE_SIZES, TASK_DEFINITION_BYTES
from pytest_fargate_sandbox.leaves.names import RUNTIME_CONTAINER, SHARED_VOLUME, SIDECAR_CONTAINER, STOP_TIMEOUT_SEC
from pytest_fargate_sandbox.sandbox.modes.mode_registry import mode_of
from pytest_fargate_sandbox.sandbox.task.container_parts import Payload, merge_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.sandbox.endpoints import Routes
    from pytest_fargate_sandbox.sandbox.keyring import Keyring

_OUR_VOLUMES = re.compile(rf"{SHARED_VOLUME}|efs-\d+")
_OUR_CONTAINERS = (SIDECAR_CONTAINER, RUNTIME_CONTAINER)
SIDECAR_MIB = 64
"""What is the sidecar's alone, of a task's memory: it has a tenth of that, or half by the Session Manager."""

_CLONED = ("taskRoleArn", "executionRoleArn", "volumes", "runtimePlatform", "proxyConfiguration", "pidMode")
"""What a clone takes over from its base as it stands. The rest is ours, or is not for Fargate."""


@dataclass(frozen=True)
class Plan:
    """A launch: what is registered once for all of a kind, and the environment of each container in RunTask."""

    registration: Payload
    overrides: Mapping[str, Mapping[str, str]]
    commands: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What containers run instead, where nothing is registered and a definition runs as it is."""


def make_plan(
    cfg: EcsFargateConfig,
    *,
    image: str | None,
    base: Mapping[str, Any] | None,
    region: str,
    task_id: str,
    keyring: Keyring,
    routes: Routes,
) -> Plan:
    mode = mode_of(cfg)
    environments = mode.environments(cfg, task_id=task_id, keyring=keyring, routes=routes)
    if cfg.definition_as_is and base:
        main, _ = _split(cfg, base)
        commands = {cfg.container_name: mode.command_as_it_is(cfg, main)}
        return Plan(dict(base), environments.overrides, commands)
    registered = registration(cfg, image=image, region=region, environment=environments.registered, base=base)
    return Plan(registered, environments.overrides)


def registration(
    cfg: EcsFargateConfig,
    *,
    image: str | None,
    region: str,
    environment: Mapping[str, str] | None = None,
    base: Mapping[str, Any] | None = None,
) -> Payload:
    """The parameters of RegisterTaskDefinition, ``family`` among them.

    ``base`` is the task definition to clone. ``environment`` is for values that are too long to travel with a task.
    """
    containers = _containers(cfg, image, region, environment or {}, base or {})
    payload: Payload = {
        **{key: copy.deepcopy(base[key]) for key in _CLONED if base and base.get(key)},
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        **_size(cfg, base or {}),
        "containerDefinitions": containers,
    }
    _leave_room(containers, int(payload["memory"]))
    payload["volumes"] = [*_not_ours(payload.get("volumes", []), "name"), *_volumes(cfg)]
    payload.update(_roles(cfg, base))
    payload.setdefault("runtimePlatform", {"operatingSystemFamily": "LINUX", "cpuArchitecture": cfg.cpu_architecture})
    return _named(cfg, payload)


def _containers(
    cfg: EcsFargateConfig,
    image: str | None,
    region: str,
    environment: Mapping[str, str],
    base: Mapping[str, Any],
) -> list[Payload]:
    mode = mode_of(cfg)
    main, others = _split(cfg, base)
    if image:
        main["image"] = image
    if not main.get("image"):
        raise ConfigError(
            "there is no image: set image_template, or ecr_repository and environment_dir, or task_definition",
            key="image_template",
        )
    logs = _log_configuration(cfg, region)
    merge_environment(main, environment)
    _add_common(cfg, main, logs)
    return [main, *others, *mode.complete(cfg, main, logs)]


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
    for each in containers:
        if "mountPoints" in each:
            each["mountPoints"] = _not_ours(each["mountPoints"], "sourceVolume")
    return mains[0], [each for each in containers if each["name"] not in (cfg.container_name, *_OUR_CONTAINERS)]


def _not_ours(parts: Sequence[Payload], name: str) -> list[Payload]:
    """What is cloned may be of our own making: its volumes and mounts are made anew, and ECS takes none twice."""
    return [each for each in parts if not _OUR_VOLUMES.fullmatch(each[name])]


def _add_common(cfg: EcsFargateConfig, main: Payload, logs: Payload | None) -> None:
    main["essential"] = True
    main["stopTimeout"] = STOP_TIMEOUT_SEC
    if cfg.user is not None:
        main["user"] = cfg.user
    if logs:
        main["logConfiguration"] = logs
    mounts = [_efs_mount(number, volume) for number, volume in enumerate(cfg.volumes)]
    if mounts:
        main["mountPoints"] = [*main.get("mountPoints", []), *mounts]


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
    return [{"name": SHARED_VOLUME}, *(_efs_volume(cfg, number, volume) for number, volume in enumerate(cfg.volumes))]


def _efs_volume(cfg: EcsFargateConfig, number: int, volume: Mapping[str, Any]) -> Payload:
    efs: Payload = {"fileSystemId": volume["file_system_id"], "transitEncryption": "ENABLED"}
    if volume.get("access_point_id"):
        # IAM goes by the task's role, and a task that has none is refused by the file system:
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EFSAuthorizationConfig.html
        iam = "ENABLED" if cfg.task_role_arn else "DISABLED"
        efs["authorizationConfig"] = {"accessPointId": volume["access_point_id"], "iam": iam}
    elif volume.get("root_directory"):  # with an access point ECS refuses any other root directory
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EFSVolumeConfiguration.html
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
            "`execution_role_arn` is missing: without a `task_definition` to clone, the role with which ECS pulls "
            "images and writes logs has to be named (AmazonECSTaskExecutionRolePolicy is what it needs)",
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


def _leave_room(containers: Sequence[Payload], memory: int) -> None:
    """Who takes all memory in the main container takes none of the sidecar's, which is the way in.

    The kernel then frees it within that container; under a limit that both have in common, the sidecar starves. What
    is reserved is kept free from nobody: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
    """
    main, *others = containers
    if all(each["name"] != SIDECAR_CONTAINER for each in others):
        return
    room = memory - SIDECAR_MIB - sum(each.get("memory") or each.get("memoryReservation") or 0 for each in others)
    if 0 < room < main.get("memory", memory):
        main["memory"] = room
        if "memoryReservation" in main:
            main["memoryReservation"] = min(main["memoryReservation"], room)


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

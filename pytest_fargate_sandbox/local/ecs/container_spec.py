"""From an ECS container definition to what a runner is asked to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.ecs.environment_files import read_environment_files
from pytest_fargate_sandbox.local.ecs.secret_values import resolve_secrets
from pytest_fargate_sandbox.local.engine_credentials import REGION
from pytest_fargate_sandbox.local.runners.runner_contract import ContainerSpec, Mount

if TYPE_CHECKING:
    from collections.abc import Mapping

_FARGATE_ENVIRONMENT = {"AWS_EXECUTION_ENV": "AWS_ECS_FARGATE", "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}


def apply_override(definition: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """``definition`` with RunTask's override: a variable replaces its namesake, everything else the whole field."""
    merged = {**definition, **{key: value for key, value in override.items() if key not in ("name", "environment")}}
    environment = {item["name"]: item for item in definition.get("environment") or ()}
    environment.update({item["name"]: item for item in override.get("environment") or ()})
    merged["environment"] = list(environment.values())
    return merged


def container_spec(definition: Mapping[str, Any]) -> ContainerSpec:
    """Resolves the secrets as well, which may raise SecretNotResolved, and reads files: EnvironmentFileMissing."""
    environment = {
        **_FARGATE_ENVIRONMENT,
        **read_environment_files(definition),
        **{item["name"]: item.get("value", "") for item in definition.get("environment") or ()},
        **resolve_secrets(definition),
    }
    return ContainerSpec(
        name=definition["name"],
        image=definition["image"],
        entry_point=_words(definition.get("entryPoint")),
        command=_words(definition.get("command")),
        environment=environment,
        working_directory=definition.get("workingDirectory") or None,
        user=definition.get("user") or None,
        mounts=tuple(
            Mount(mount["sourceVolume"], mount["containerPath"], bool(mount.get("readOnly")))
            for mount in definition.get("mountPoints") or ()
        ),
        read_only_root=bool(definition.get("readonlyRootFilesystem")),
        memory_mib=definition.get("memory"),
        cpu_units=definition.get("cpu") or None,
        ulimits=tuple((u["name"], u["softLimit"], u["hardLimit"]) for u in definition.get("ulimits") or ()),
    )


def _words(words: list[str] | None) -> tuple[str, ...] | None:
    return tuple(words) if words else None

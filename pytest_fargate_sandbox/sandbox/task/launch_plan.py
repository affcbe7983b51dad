"""What a launch consists of: what is registered once for all of a kind, and what travels with this one task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.sandbox.modes.mode_registry import mode_of
from pytest_fargate_sandbox.sandbox.task.task_definition import registration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.sandbox.endpoints import Routes
    from pytest_fargate_sandbox.sandbox.keyring import Keyring
    from pytest_fargate_sandbox.sandbox.task.container_parts import Payload


@dataclass(frozen=True)
class Plan:
    """``overrides`` is the environment of each container in RunTask."""

    registration: Payload
    overrides: Mapping[str, Mapping[str, str]]


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
    environments = mode_of(cfg).environments(cfg, task_id=task_id, keyring=keyring, routes=routes)
    registered = registration(cfg, image=image, region=region, environment=environments.registered, base=base)
    return Plan(registered, environments.overrides)

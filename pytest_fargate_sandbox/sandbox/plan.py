"""What a launch consists of: what is registered once for all of a kind, and what travels with this one task."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.fargate_rules import OVERRIDES_CHARACTERS
from pytest_fargate_sandbox.leaves.names import ENV_TOKEN_SHA256, SIDECAR_CONTAINER
from pytest_fargate_sandbox.sandbox.environment import filled_in
from pytest_fargate_sandbox.sandbox.sidecar import sidecar_environment
from pytest_fargate_sandbox.sandbox.task_definition import Payload, registration, sidecar_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.sandbox.endpoints import Routes
    from pytest_fargate_sandbox.sandbox.keyring import Keyring

_ROOM_FOR_ENVIRONMENT = OVERRIDES_CHARACTERS - 3000
"""The rest is for keys and tokens."""


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
    """In exec-server mode commands get their environment over the tunnel; an agent finds it in its container."""
    sidecar = sidecar_of(cfg)
    agent = sidecar.exec_server_port is None
    if agent:
        common, own = _agent_environment(cfg, task_id, routes)
    else:
        common, own = {}, {ENV_TOKEN_SHA256: keyring.token_sha256}
        filled_in(cfg.extra_env, task_id=task_id, task_ip="unknown yet", routes=routes)  # what can't be, is told now
    return Plan(
        registration(
            cfg, image=image, region=region, reverse_ports=agent and bool(routes), environment=common, base=base
        ),
        {
            cfg.container_name: own,
            SIDECAR_CONTAINER: sidecar_environment(
                sidecar,
                authorized_key=keyring.client.public,
                host_key=keyring.host.private,
                ttl=cfg.max_task_lifetime_sec,
                reverse_ports=routes.inner_ports if agent else [],
            ),
        },
    )


def _agent_environment(cfg: EcsFargateConfig, task_id: str, routes: Routes) -> tuple[dict[str, str], dict[str, str]]:
    """What is registered, and what travels: all of it while it fits, since a registration is the scarcer thing."""
    filled = filled_in(cfg.extra_env, task_id=task_id, task_ip=None, routes=routes)
    if len(json.dumps([{"name": name, "value": value} for name, value in filled.items()])) <= _ROOM_FOR_ENVIRONMENT:
        return {}, filled
    same_for_all = {name: value for name, value in (cfg.extra_env or {}).items() if filled[name] == value}
    return same_for_all, {name: value for name, value in filled.items() if name not in same_for_all}

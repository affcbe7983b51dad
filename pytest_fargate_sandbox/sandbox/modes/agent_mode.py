"""Agent-server mode: the image's own command runs, and ``local_port`` leads to where it listens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.fargate_rules import OVERRIDES_CHARACTERS
from pytest_fargate_sandbox.leaves.names import SIDECAR_CONTAINER
from pytest_fargate_sandbox.sandbox.connection import Connection
from pytest_fargate_sandbox.sandbox.modes.beside_sidecar import BesideSidecar, plain_sidecar
from pytest_fargate_sandbox.sandbox.modes.mode import Environments
from pytest_fargate_sandbox.sandbox.task.container_parts import add_port
from pytest_fargate_sandbox.sandbox.task.task_environment import filled_in

if TYPE_CHECKING:
    from collections.abc import Collection, MutableMapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.sandbox.endpoints import Routes
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.keyring import Keyring
    from pytest_fargate_sandbox.sandbox.task.container_parts import Payload

_ROOM_FOR_ENVIRONMENT = OVERRIDES_CHARACTERS - 3000
"""What ECS lets travel, less room for keys and tokens."""


class AgentMode(BesideSidecar):
    how = "SshSidecarConfig() and container_port="
    takes_commands = False

    def is_meant(self, cfg: EcsFargateConfig) -> bool:
        return cfg.ssh_sidecar is not None and cfg.ssh_sidecar.exec_server_port is None

    def ask_for(self, task: MutableMapping[str, Any], *, as_default: bool = False) -> None:  # noqa: ARG002
        sidecar = plain_sidecar(task)
        if sidecar is not None:
            task["ssh_sidecar"] = {**sidecar, "exec_server_port": None}
            if task.get("ecs_exec"):
                task["ecs_exec"] = False

    def check(self, cfg: EcsFargateConfig) -> None:
        super().check(cfg)
        if cfg.container_port is None:
            raise ConfigError(
                "container_port is missing: agent-server mode forwards local_port to where the image's own command "
                "listens; set `container_port`, or `ssh_sidecar.exec_server_port` for exec-server mode",
                key="container_port",
            )

    def suits_anybody(self, cfg: EcsFargateConfig, outside: Collection[OutsideEndpoint]) -> bool:
        """Not where it has endpoints or an environment: those are in a task from its launch, and one sandbox's own."""
        return not (outside or cfg.extra_env)

    def environments(self, cfg: EcsFargateConfig, *, task_id: str, keyring: Keyring, routes: Routes) -> Environments:
        registered, travelling = _split(cfg, task_id, routes)
        sidecar = self._sidecar_environment(cfg, keyring, listeners=routes.listeners, hosts=routes.hosts)
        return Environments({cfg.container_name: travelling, SIDECAR_CONTAINER: sidecar}, registered)

    def _waits_for_health(self, _cfg: EcsFargateConfig) -> bool:
        """An agent may use its endpoints at once, so it waits for the sidecar to have their ports: HEALTHY says so."""
        return True

    def _complete_main(self, cfg: EcsFargateConfig, main: Payload) -> None:
        if cfg.container_port is not None:
            add_port(main, cfg.container_port)

    def connection(self, cfg: EcsFargateConfig, aws: Aws, host: str, keyring: Keyring, routes: Routes) -> Connection:
        port = cfg.container_port or 0
        return Connection(host, self._door(cfg, aws, host, keyring, routes, port), port)

    def client(self, _connection: Connection) -> ExecClient:
        raise ConfigError(
            "commands and files need exec-server mode, and this sandbox runs its image's own command (agent-server "
            "mode): set `ssh_sidecar.exec_server_port`, or talk to the agent at local_port",
            key="ssh_sidecar.exec_server_port",
        )


def _split(cfg: EcsFargateConfig, task_id: str, routes: Routes) -> tuple[dict[str, str], dict[str, str]]:
    """What is registered, and what travels with RunTask: all, while it fits, since to register is the scarcer call."""
    travelling = filled_in(cfg.extra_env, task_id=task_id, task_ip=None, routes=routes)
    same_for_all = {name: value for name, value in (cfg.extra_env or {}).items() if travelling[name] == value}
    registered: dict[str, str] = {}
    for part in (same_for_all, routes.environment):
        if _fits(travelling):
            break
        registered |= part
        travelling = {name: value for name, value in travelling.items() if name not in part}
    return registered, travelling


def _fits(travelling: dict[str, str]) -> bool:
    said = json.dumps([{"name": name, "value": value} for name, value in travelling.items()])
    return len(said) <= _ROOM_FOR_ENVIRONMENT

"""Exec-server mode: the main container runs our server, which carries out commands and moves files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.names import (
    ENV_TOKEN_SHA256,
    SHARED_DIR,
    SHARED_VOLUME,
    SIDECAR_CONTAINER,
)
from pytest_fargate_sandbox.sandbox.connection import Connection, ServerConnection
from pytest_fargate_sandbox.sandbox.modes.beside_sidecar import BesideSidecar, plain_sidecar, sidecar_of
from pytest_fargate_sandbox.sandbox.modes.mode import Environments
from pytest_fargate_sandbox.sandbox.modes.own_server import EXEC_SERVER_PORT, OwnServer
from pytest_fargate_sandbox.sandbox.task.task_environment import filled_in

if TYPE_CHECKING:
    from collections.abc import Collection, MutableMapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.sandbox.endpoints import Routes
    from pytest_fargate_sandbox.sandbox.keyring import Keyring
    from pytest_fargate_sandbox.sandbox.task.container_parts import Payload


class ExecMode(OwnServer, BesideSidecar):
    how = f"ssh_sidecar=SshSidecarConfig(exec_server_port={EXEC_SERVER_PORT})"

    def is_meant(self, cfg: EcsFargateConfig) -> bool:
        return cfg.ssh_sidecar is not None and cfg.ssh_sidecar.exec_server_port is not None

    def ask_for(self, task: MutableMapping[str, Any], *, as_default: bool = False) -> None:
        sidecar = plain_sidecar(task)
        if sidecar is None:
            return
        if as_default and task.get("ecs_exec"):
            return
        if not (as_default and "exec_server_port" in sidecar):
            sidecar["exec_server_port"] = sidecar.get("exec_server_port") or EXEC_SERVER_PORT
        task["ssh_sidecar"] = sidecar
        if task.get("ecs_exec"):
            task["ecs_exec"] = False

    def suits_anybody(self, _cfg: EcsFargateConfig, _outside: Collection[OutsideEndpoint]) -> bool:
        return True

    def environments(self, cfg: EcsFargateConfig, *, task_id: str, keyring: Keyring, routes: Routes) -> Environments:
        """What server and sidecar need; commands get theirs over the tunnel, without a limit; nobody else reads it."""
        filled_in(cfg.extra_env, task_id=task_id, task_ip="unknown yet", routes=routes)  # raises before the launch
        return Environments(
            {
                cfg.container_name: {ENV_TOKEN_SHA256: keyring.token_sha256},
                SIDECAR_CONTAINER: self._sidecar_environment(cfg, keyring, hosts=routes.hosts),
            }
        )

    def _complete_main(self, cfg: EcsFargateConfig, main: Payload) -> None:
        self._have_server(main, cfg.runtime, _port(cfg))
        main["mountPoints"] = [
            *main.get("mountPoints", []),
            {"sourceVolume": SHARED_VOLUME, "containerPath": SHARED_DIR, "readOnly": False},
        ]

    def connection(self, cfg: EcsFargateConfig, aws: Aws, host: str, keyring: Keyring, routes: Routes) -> Connection:
        door = self._door(cfg, aws, host, keyring, routes, _port(cfg))
        return ServerConnection(host, door, _port(cfg), token=keyring.token)


def _port(cfg: EcsFargateConfig) -> int:
    return sidecar_of(cfg).exec_server_port or EXEC_SERVER_PORT

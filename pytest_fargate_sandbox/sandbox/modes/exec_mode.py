"""Exec-server mode: the main container runs our server, which carries out commands and moves files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.names import (
    ENV_SERVER_PORT,
    ENV_TOKEN_SHA256,
    SHARED_DIR,
    SHARED_VOLUME,
    SIDECAR_CONTAINER,
)
from pytest_fargate_sandbox.sandbox.connection import Connection, ServerConnection
from pytest_fargate_sandbox.sandbox.hosts_file import make_known
from pytest_fargate_sandbox.sandbox.modes.beside_sidecar import BesideSidecar, plain_sidecar, sidecar_of
from pytest_fargate_sandbox.sandbox.modes.mode import Environments
from pytest_fargate_sandbox.sandbox.task.container_parts import merge_environment
from pytest_fargate_sandbox.sandbox.task.task_environment import filled_in, host_name
from pytest_fargate_sandbox.server.bundle import server_command, server_environment

if TYPE_CHECKING:
    from collections.abc import Collection, MutableMapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
    from pytest_fargate_sandbox.sandbox.endpoints import Routes
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.keyring import Keyring
    from pytest_fargate_sandbox.sandbox.task.container_parts import Payload

EXEC_SERVER_PORT = 19542
"""Where the server listens in the task unless a configuration says otherwise."""


class ExecMode(BesideSidecar):
    how = f"ssh_sidecar=SshSidecarConfig(exec_server_port={EXEC_SERVER_PORT})"

    def is_meant(self, cfg: EcsFargateConfig) -> bool:
        return cfg.ssh_sidecar is not None and cfg.ssh_sidecar.exec_server_port is not None

    def ask_for(self, task: MutableMapping[str, Any], *, as_default: bool = False) -> None:
        sidecar = plain_sidecar(task)
        if sidecar is None:
            return
        if not (as_default and "exec_server_port" in sidecar):
            sidecar["exec_server_port"] = sidecar.get("exec_server_port") or EXEC_SERVER_PORT
        task["ssh_sidecar"] = sidecar

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
        """An image's own entryPoint would swallow our command; a cloned health check would test what does not run."""
        main["entryPoint"], main["command"] = server_command(cfg.runtime)
        main.pop("healthCheck", None)
        given = {each["name"]: each["value"] for each in main.get("environment", [])}
        merge_environment(main, {ENV_SERVER_PORT: str(_port(cfg)), **server_environment(cfg.runtime, given)})
        main["mountPoints"] = [
            *main.get("mountPoints", []),
            {"sourceVolume": SHARED_VOLUME, "containerPath": SHARED_DIR, "readOnly": False},
        ]

    def connection(self, cfg: EcsFargateConfig, host: str, keyring: Keyring, routes: Routes) -> Connection:
        door = self._door(cfg, host, keyring, routes, _port(cfg))
        return ServerConnection(host, door, _port(cfg), token=keyring.token)

    def settle_in(
        self, connection: Connection, cfg: EcsFargateConfig, *, task_id: str, task_ip: str | None, routes: Routes
    ) -> None:
        environment = filled_in(cfg.extra_env, task_id=task_id, task_ip=task_ip, routes=routes)
        if routes.hosts:
            make_known(routes.hosts, self.client(connection))
        self.client(connection).configure({"HOSTNAME": host_name(task_id), **environment})

    def client(self, connection: Connection) -> ExecClient:
        assert connection.exec_client is not None
        return connection.exec_client


def _port(cfg: EcsFargateConfig) -> int:
    return sidecar_of(cfg).exec_server_port or EXEC_SERVER_PORT

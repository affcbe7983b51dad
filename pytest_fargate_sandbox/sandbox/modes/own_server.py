"""What those modes have in common whose main container runs our server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import ENV_SERVER_PORT
from pytest_fargate_sandbox.sandbox.hosts_file import make_known
from pytest_fargate_sandbox.sandbox.modes.mode import Mode
from pytest_fargate_sandbox.sandbox.task.container_parts import merge_environment
from pytest_fargate_sandbox.sandbox.task.task_environment import filled_in, host_name
from pytest_fargate_sandbox.server.bundle import server_command, server_environment

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.sandbox.connection import Connection
    from pytest_fargate_sandbox.sandbox.endpoints import Routes
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.task.container_parts import Payload

EXEC_SERVER_PORT = 19542
"""Where the server listens in the task unless a configuration says otherwise."""


class OwnServer(Mode):
    """The half of a ``Mode`` that is about the server."""

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

    def _have_server(self, main: Payload, runtime: str, port: int, *lessons: str) -> None:
        """An image's own entryPoint would swallow our command; a cloned health check would test what does not run."""
        main["entryPoint"], main["command"] = server_command(runtime, *lessons)
        main.pop("healthCheck", None)
        given = {each["name"]: each["value"] for each in main.get("environment", [])}
        merge_environment(main, {ENV_SERVER_PORT: str(port), **server_environment(runtime, given)})

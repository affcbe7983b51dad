"""ECS Exec mode: no sidecar and no open port. The Session Manager leads to our server, which is the main container."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.config import replaced
from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.names import (
    ENV_SERVER_PORT,
    ENV_TOKEN_SHA256,
    ENV_TTL,
    RUNTIME_CONTAINER,
    SHARED_DIR,
    SHARED_VOLUME,
    SIDECAR_REFERENCE,
)
from pytest_fargate_sandbox.sandbox.connection import Connection, Door, ServerConnection
from pytest_fargate_sandbox.sandbox.keyring import make_keyring
from pytest_fargate_sandbox.sandbox.modes.beside_sidecar import plain_sidecar
from pytest_fargate_sandbox.sandbox.modes.by_sessions import check_sessions
from pytest_fargate_sandbox.sandbox.modes.mode import Environments
from pytest_fargate_sandbox.sandbox.modes.own_server import EXEC_SERVER_PORT, OwnServer
from pytest_fargate_sandbox.sandbox.task.runtime_container import runtime_container
from pytest_fargate_sandbox.sandbox.task.task_environment import filled_in
from pytest_fargate_sandbox.server.awaited_server import awaiting_source
from pytest_fargate_sandbox.server.bundle import server_command, shipped_source

if TYPE_CHECKING:
    from collections.abc import Collection, MutableMapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.sandbox.endpoints import Routes
    from pytest_fargate_sandbox.sandbox.keyring import Keyring
    from pytest_fargate_sandbox.sandbox.task.container_parts import Payload

_LESSON = "tunnel.tunnel_verbs"
_AGENTS_PLACES = {"/var/lib/amazon/ssm", "/var/log/amazon/ssm"}
_KEY = "AWS_ACCESS_KEY_ID"
_PATIENCE_SEC = 180.0
"""The agent takes 30 to 60 s; what starts behind it is to have its time as well."""


class EcsExecMode(OwnServer):
    how = "ecs_exec=True, without an ssh_sidecar,"

    def is_meant(self, cfg: EcsFargateConfig) -> bool:
        return cfg.ecs_exec

    def ask_for(self, task: MutableMapping[str, Any], *, as_default: bool = False) -> None:
        if plain_sidecar(task) is not None and not (as_default and task.get("ssh_sidecar")):
            task.update(ssh_sidecar=None, ecs_exec=True)

    def check(self, cfg: EcsFargateConfig) -> None:
        if cfg.ssh_sidecar is not None:
            raise ConfigError(
                "ecs_exec=True is the way in without a sidecar, and ssh_sidecar is set: leave that out; or keep it, as "
                'agent-server mode has to, and reach it with connect_via="ssm"',
                key="ecs_exec",
            )
        check_sessions(cfg)
        if cfg.definition_as_is:
            _check_as_it_is(cfg)
        if _KEY in (cfg.extra_env or {}):
            raise _breaks_the_agent("extra_env", cfg.container_name)

    def suits_anybody(self, _cfg: EcsFargateConfig, _outside: Collection[OutsideEndpoint]) -> bool:
        return True

    def taken_ports(self, cfg: EcsFargateConfig) -> list[int]:
        return [port for port in (EXEC_SERVER_PORT, cfg.container_port) if port is not None]

    def make_keyring(self, _cfg: EcsFargateConfig, aws: Aws, *, task_id: str, secret: bytes | None) -> Keyring:
        return make_keyring(aws, task_id=task_id, secret=secret)

    def with_own_images(self, cfg: EcsFargateConfig, aws: Aws) -> EcsFargateConfig:
        if cfg.runtime != "sidecar" or cfg.runtime_image:
            return cfg
        from pytest_fargate_sandbox.providers.images.sidecar_build import sidecar_reference

        return replaced(cfg, runtime_image=sidecar_reference(cfg, aws))

    def environments(self, cfg: EcsFargateConfig, *, task_id: str, keyring: Keyring, routes: Routes) -> Environments:
        filled_in(cfg.extra_env, task_id=task_id, task_ip="unknown yet", routes=routes)  # raises before the launch
        own = {ENV_TOKEN_SHA256: keyring.token_sha256, ENV_TTL: str(cfg.max_task_lifetime_sec)}
        if cfg.definition_as_is:
            own[ENV_SERVER_PORT] = str(EXEC_SERVER_PORT)
        return Environments({cfg.container_name: own})

    def complete(self, cfg: EcsFargateConfig, main: Payload, logs: Payload | None) -> list[Payload]:
        _check_agents_home(main)
        self._have_server(main, "sidecar" if cfg.runtime == "sidecar" else "image", EXEC_SERVER_PORT, _LESSON)
        # AWS asks for an init process, which reaps what the agent starts. Our server does that as the first process,
        # and as that alone it outlives a `kill -9 -1`.
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-exec.html
        main.get("linuxParameters", {}).pop("initProcessEnabled", None)
        if cfg.runtime != "sidecar":
            return []
        shared = {"sourceVolume": SHARED_VOLUME, "containerPath": SHARED_DIR, "readOnly": False}
        main["mountPoints"] = [*main.get("mountPoints", []), shared]
        main["dependsOn"] = [*main.get("dependsOn", []), {"containerName": RUNTIME_CONTAINER, "condition": "SUCCESS"}]
        return [runtime_container(cfg.runtime_image or SIDECAR_REFERENCE, logs)]

    def command_as_it_is(self, _cfg: EcsFargateConfig, main: Payload) -> list[str]:
        _check_agents_home(main)
        source = awaiting_source(shipped_source(_LESSON))
        entry_point, arguments = server_command("image", source=source)
        if main.get("entryPoint", [])[-1:] == ["-c"]:  # a shell that takes one word
            return [f"set -- {shlex.join(arguments)}\n{entry_point[2]}"]
        return [*entry_point, *arguments]

    def clock(self, cfg: EcsFargateConfig) -> str:
        return cfg.container_name

    def patience_sec(self, _cfg: EcsFargateConfig) -> float:
        return _PATIENCE_SEC

    def connection(self, cfg: EcsFargateConfig, aws: Aws, host: str, keyring: Keyring, routes: Routes) -> Connection:
        from pytest_fargate_sandbox.providers.ssm.ssm_tunnel import SsmTunnel
        from pytest_fargate_sandbox.providers.ssm.tunnel_opening import TunnelOpening

        tunnel = SsmTunnel(
            aws=aws,
            target=host,
            port=EXEC_SERVER_PORT,
            opening=TunnelOpening(keyring.token),
            may_bridge=True,
            server=(lambda: shipped_source(_LESSON)) if cfg.definition_as_is else None,
            forward_port=EXEC_SERVER_PORT,
            reverses=routes.specs,
        )
        door = Door(tunnel, cfg.container_name, tunnel.why_closed)
        return ServerConnection(host, door, EXEC_SERVER_PORT, token=keyring.token)


def _check_as_it_is(cfg: EcsFargateConfig) -> None:
    if not cfg.task_definition:
        raise ConfigError("definition_as_is=True: there is no `task_definition` to run", key="task_definition")
    for key in ("image_template", "environment_dir", "volumes", "user"):
        if getattr(cfg, key):
            raise ConfigError(
                f"definition_as_is=True and {key}: RunTask cannot change that in a definition; leave one of them out",
                key=key,
            )
    if cfg.runtime == "sidecar":
        raise ConfigError('definition_as_is=True and runtime="sidecar": leave one of them out', key="runtime")


def _check_agents_home(main: Payload) -> None:
    """Raise ``ConfigError`` where the agent could not live in a container that is cloned."""
    name = str(main.get("name"))
    variables = [each["name"] for part in ("environment", "secrets") for each in main.get(part) or []]
    if _KEY in variables:
        raise _breaks_the_agent("task_definition", name)
    # https://github.com/aws/containers-roadmap/issues/1359
    mounted = {each.get("containerPath") for each in main.get("mountPoints") or [] if not each.get("readOnly")}
    if main.get("readonlyRootFilesystem") and not mounted >= _AGENTS_PLACES:
        raise ConfigError(
            f"task_definition: the container {name} has a read-only root, and the SSM agent writes to it: leave "
            f"readonlyRootFilesystem out, or mount volumes at {' and '.join(sorted(_AGENTS_PLACES))}",
            key="task_definition",
        )


def _breaks_the_agent(key: str, container: str) -> ConfigError:
    # https://github.com/aws-containers/amazon-ecs-exec-checker
    return ConfigError(
        f"{key}: {_KEY} in the environment of the container {container} keeps the SSM agent from working, which then "
        "takes those keys for its own: give them another name, or pass them with exec(env=…)",
        key=key,
    )

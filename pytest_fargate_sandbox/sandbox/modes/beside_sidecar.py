"""What those modes have in common whose way in is the SSH sidecar, which also holds the time to live."""

from __future__ import annotations

import dataclasses
import socket
from abc import abstractmethod
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.config import SshSidecarConfig, replaced
from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.names import (
    ENV_TOKEN_SHA256,
    LOCAL_CLUSTER,
    SIDECAR_CONTAINER,
    SIDECAR_REFERENCE,
    SIDECAR_TUNNEL_PORT,
)
from pytest_fargate_sandbox.sandbox.connection import Door
from pytest_fargate_sandbox.sandbox.keyring import make_keyring
from pytest_fargate_sandbox.sandbox.modes.by_sessions import check_sessions
from pytest_fargate_sandbox.sandbox.modes.mode import Mode
from pytest_fargate_sandbox.sandbox.task.sidecar_container import sidecar_container, sidecar_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.sandbox.endpoints import Routes
    from pytest_fargate_sandbox.sandbox.keyring import Keyring
    from pytest_fargate_sandbox.sandbox.task.container_parts import Payload


class BesideSidecar(Mode):
    """The half of a ``Mode`` that is about the sidecar."""

    def check(self, cfg: EcsFargateConfig) -> None:
        if cfg.definition_as_is:
            raise ConfigError(
                "definition_as_is=True: a definition as it stands has no sidecar; only ECS Exec mode needs none "
                "(ecs_exec=True, without ssh_sidecar)",
                key="definition_as_is",
            )
        if cfg.connect_via == "ssm":
            check_sessions(cfg)

    def taken_ports(self, cfg: EcsFargateConfig) -> list[int]:
        sidecar = sidecar_of(cfg)
        tunnel_port = SIDECAR_TUNNEL_PORT if cfg.connect_via == "ssm" else None
        ports = (sidecar.sshd_port, sidecar.exec_server_port, cfg.container_port, tunnel_port)
        return [port for port in ports if port is not None]

    def make_keyring(self, cfg: EcsFargateConfig, aws: Aws, *, task_id: str, secret: bytes | None) -> Keyring:
        client_secret = sidecar_of(cfg).private_key_secret_arn
        return make_keyring(aws, task_id=task_id, secret=secret, client_secret=client_secret)

    def with_own_images(self, cfg: EcsFargateConfig, aws: Aws) -> EcsFargateConfig:
        """The sidecar's image is our own, where that was built into the configuration's repository."""
        sidecar = sidecar_of(cfg)
        if sidecar.image or not cfg.ecr_repository or cfg.cluster == LOCAL_CLUSTER:
            return cfg
        from pytest_fargate_sandbox.providers.images.sidecar_build import sidecar_reference

        return replaced(cfg, ssh_sidecar=replaced(sidecar, image=sidecar_reference(cfg, aws)))

    def complete(self, cfg: EcsFargateConfig, main: Payload, logs: Payload | None) -> list[Payload]:
        sidecar, healthy = sidecar_of(cfg), self._waits_for_health(cfg)
        condition = {"containerName": SIDECAR_CONTAINER, "condition": "HEALTHY" if healthy else "START"}
        main["dependsOn"] = [*main.get("dependsOn", []), condition]
        self._complete_main(cfg, main)
        image = sidecar.image or SIDECAR_REFERENCE
        beside = sidecar_container(
            sidecar,
            image=image,
            runtime=cfg.runtime,
            health_check=healthy,
            takes_tunnel=cfg.connect_via == "ssm",
            logs=logs,
        )
        return [beside]

    def clock(self, _cfg: EcsFargateConfig) -> str:
        return SIDECAR_CONTAINER

    def patience_sec(self, cfg: EcsFargateConfig) -> float:
        return sidecar_of(cfg).ssh_ready_timeout_sec

    # --- for those that build on it ---------------------------------------------------------------------------------

    @abstractmethod
    def _complete_main(self, cfg: EcsFargateConfig, main: Payload) -> None:
        """Complete ``main`` with what this mode has it do; what all of them want of it is there already."""

    def _waits_for_health(self, cfg: EcsFargateConfig) -> bool:
        """Whether the main container starts only when the sidecar is HEALTHY: on AWS that takes five seconds."""
        return cfg.runtime == "sidecar"

    def _sidecar_environment(
        self,
        cfg: EcsFargateConfig,
        keyring: Keyring,
        *,
        listeners: Iterable[str] = (),
        hosts: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        own = {ENV_TOKEN_SHA256: sha256(keyring.tunnel_token.encode()).hexdigest()} if cfg.connect_via == "ssm" else {}
        return own | sidecar_environment(
            sidecar_of(cfg),
            authorized_key=keyring.client.public,
            host_key=keyring.host.private,
            ttl=cfg.max_task_lifetime_sec,
            listeners=listeners,
            hosts=hosts,
        )

    def _door(
        self, cfg: EcsFargateConfig, aws: Aws, host: str, keyring: Keyring, routes: Routes, inner_port: int
    ) -> Door:
        port = sidecar_of(cfg).sshd_port
        asked: dict[str, Any] = {
            "host": host,
            "port": port,
            "private_key": keyring.client,
            "host_key": keyring.host.public,
            "forward_port": inner_port,
            "reverses": routes.specs,
        }
        if cfg.connect_via == "ssm":
            from pytest_fargate_sandbox.providers.ssm.ssh_in_session import SshInSession

            inside = SshInSession(aws, tunnel_port=SIDECAR_TUNNEL_PORT, token=keyring.tunnel_token, **asked)
            return Door(inside, SIDECAR_CONTAINER, inside.why_closed)
        from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel

        return Door(SshTunnel(**asked), SIDECAR_CONTAINER, partial(_why_closed, host, port))


def sidecar_of(cfg: EcsFargateConfig) -> SshSidecarConfig:
    if cfg.ssh_sidecar is None:
        raise TypeError("a mode with a sidecar was chosen for a configuration without one")
    return cfg.ssh_sidecar


def plain_sidecar(task: Mapping[str, Any]) -> dict[str, Any] | None:
    """The sidecar's values in a configuration's mapping; None for what is no sidecar, which ``from_dict`` refuses."""
    given = task.get("ssh_sidecar")
    if isinstance(given, SshSidecarConfig):
        return dataclasses.asdict(given)
    return dict(given or {}) if given is None or isinstance(given, dict) else None


def _why_closed(host: str, port: int) -> str:
    """What a connection to ``host:port`` meets now, as a sentence with what that mostly means."""
    return f"no SSH connection to the task: {_what_answers(host, port)}"


def _what_answers(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), timeout=3.0).close()
    except TimeoutError:
        return (
            f"nothing answers at {host}:{port}: does a security group let this machine in at port {port}, "
            "and is the address reachable from here (`assign_public_ip`, `connect_via`)?"
        )
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"
    return f"{host}:{port} takes connections, but the SSH log-in does not succeed"

"""The sidecar's container definition: static, so that one registration serves every sandbox of a kind.

What differs from task to task (keys, ports, its time) travels as environment, in the overrides of its ``RunTask``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves import names
from pytest_fargate_sandbox.leaves.sockets import LOOPBACKS
from pytest_fargate_sandbox.server.bundle import tunnel_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_fargate_sandbox.leaves.config import SshSidecarConfig

_HERE = Path(__file__).parent
_PRIVATE = "/run/fargate-sandbox-private"
# No shorter interval is allowed: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
_HEALTH_CHECK = {"interval": 5, "timeout": 5, "retries": 10, "startPeriod": 60}


def sidecar_container(
    sidecar: SshSidecarConfig,
    *,
    image: str,
    runtime: str,
    health_check: bool,
    takes_tunnel: bool = False,
    logs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The container definition. ``health_check`` is for where somebody waits for it: on AWS that takes 5 s.

    ``takes_tunnel``: whoever comes by the Session Manager finds the other end of his tunnel there, too.
    """
    environment = {names.ENV_SSHD_PORT: str(sidecar.sshd_port)}
    if runtime == "sidecar":
        environment[names.ENV_RUNTIME] = names.RUNTIME_DROP
    if takes_tunnel:
        environment[names.ENV_TUNNEL_PORT] = str(names.SIDECAR_TUNNEL_PORT)
    container: dict[str, Any] = {
        "name": names.SIDECAR_CONTAINER,
        "image": image,
        "essential": True,  # its end is the task's end: it holds the time to live
        "entryPoint": ["/bin/sh", "-c"],
        "command": [sidecar_script(takes_tunnel=takes_tunnel)],
        "environment": [{"name": name, "value": value} for name, value in environment.items()],
        "portMappings": [{"containerPort": sidecar.sshd_port, "protocol": "tcp"}],
        "mountPoints": [{"sourceVolume": names.SHARED_VOLUME, "containerPath": names.SHARED_DIR, "readOnly": False}],
        "stopTimeout": names.STOP_TIMEOUT_SEC,
        "user": "0",
    }
    if sidecar.public_key_secret_arn:
        container["secrets"] = [{"name": names.ENV_AUTHORIZED_KEY, "valueFrom": sidecar.public_key_secret_arn}]
    if health_check:
        container["healthCheck"] = {"command": ["CMD-SHELL", health_script()], **_HEALTH_CHECK}
    if logs:
        container["logConfiguration"] = dict(logs)
    return container


def sidecar_environment(
    sidecar: SshSidecarConfig,
    *,
    authorized_key: str,
    host_key: str,
    ttl: int,
    listeners: Iterable[str] = (),
    hosts: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What one task's sidecar has to know beyond its container definition: a public key line, a private key as text."""
    environment = {names.ENV_HOST_KEY: host_key, names.ENV_TTL: str(ttl)}
    if not sidecar.public_key_secret_arn:  # else ECS itself puts it there
        environment[names.ENV_AUTHORIZED_KEY] = authorized_key
    if ports := ",".join(listeners):
        environment[names.ENV_REVERSE_PORTS] = ports
    if hosts:
        environment[names.ENV_HOSTS] = hosts_lines(hosts)
    return environment


def hosts_lines(hosts: Mapping[str, str]) -> str:
    """Names with their addresses, as ``/etc/hosts`` has them."""
    return "\n".join(f"{address}\t{name}" for name, address in hosts.items())


def sidecar_script(*, takes_tunnel: bool = False) -> str:
    """The sidecar's program, with the program that copies its Python inside."""
    tunnel = serve = ""
    if takes_tunnel:
        tunnel = (_HERE / "sidecar_tunnel.sh").read_text().replace("@tunnel.py@", tunnel_program())
        serve = f'sh {_PRIVATE}/serve-tunnel &\nhelpers="$helpers $!"\n'
    copier = (_HERE.parents[1] / "server" / "relocatable.py").read_text()
    parts = {"@relocatable.py@\n": f"{copier.rstrip()}\n", "@tunnel@\n": tunnel, "@serve-tunnel@\n": serve}
    script = (_HERE / "sidecar.sh").read_text()
    for place, part in parts.items():
        script = script.replace(place, part)
    return script.replace("@loopbacks@", " ".join(f"{address}:*" for address in LOOPBACKS))


def health_script() -> str:
    return (_HERE / "sidecar_health.sh").read_text()

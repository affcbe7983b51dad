"""The names that ``/etc/hosts`` of a running sandbox has to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import ConfigError, RemoteFileNotFound, RemotePermissionError
from pytest_fargate_sandbox.sandbox.task.sidecar_container import hosts_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient

_HOSTS = "/etc/hosts"


def make_known(hosts: Mapping[str, str], client: ExecClient) -> None:
    """See to it that each name leads to its address.

    The sidecar has written them, and on Fargate a task has one such file for all of its containers
    (https://github.com/aws/amazon-ecs-agent/blob/master/ecs-agent/netlib/platform/common_linux.go,
    ``CreateDNSConfig``). Where they are not there, whoever the server runs as has to write them.
    """
    try:
        text = client.read_file(_HOSTS).decode(errors="replace")
    except RemoteFileNotFound:
        text = ""
    missing = {name: address for name, address in hosts.items() if _leads_to(name, text) != address}
    if not missing:
        return
    try:
        client.write_file(_HOSTS, f"{hosts_lines(missing)}\n{text}", atomic=True)
    except RemotePermissionError as error:
        names = ", ".join(missing)
        raise ConfigError(
            f"{names}: an outside endpoint that speaks TLS is found by its name in the sandbox's {_HOSTS}, which the "
            "user that it runs as may not write: run it as root (`user`), or let the image have the lines "
            f"{hosts_lines(missing)!r}",
            key="outside_endpoints",
            value=names,
        ) from error


def _leads_to(name: str, text: str) -> str | None:
    """The first line that has the name holds."""
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if name in names:
            return address
    return None

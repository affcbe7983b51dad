"""The environment that the user's processes see, and the few things that are filled into its values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves import tracing
from pytest_fargate_sandbox.leaves.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.sandbox.endpoints import Routes

_PLACES = re.compile(r"\{(task_id|task_ip|ssh_tunnel_port)\}")
"""Only these, and not str.format: a value may well be JSON."""


def filled_in(
    environment: Mapping[str, str] | None, *, task_id: str, task_ip: str | None, routes: Routes
) -> dict[str, str]:
    """``environment`` with its placeholders filled in, beside the variables of endpoints and of a trace."""
    known = {"task_id": task_id}
    if task_ip:
        known["task_ip"] = task_ip
    if routes:
        known["ssh_tunnel_port"] = str(routes.inner_ports[0])
    filled = {name: _fill(name, value, known) for name, value in (environment or {}).items()}
    return {**tracing.environment(), **filled, **routes.environment}


def host_name(task_id: str) -> str:
    """A valid host name that a reader recognises the task by."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", task_id).strip("-.")[:63] or "sandbox"


def _fill(name: str, value: str, known: Mapping[str, str]) -> str:
    def word(match: re.Match[str]) -> str:
        if match[1] not in known:
            raise ConfigError(f"extra_env[{name!r}]: {_WHY_UNKNOWN[match[1]]}", key="extra_env")
        return known[match[1]]

    return _PLACES.sub(word, value)


_WHY_UNKNOWN = {
    "task_ip": "in this mode nobody knows {task_ip} before the container starts; ask the ECS metadata endpoint "
    "(ECS_CONTAINER_METADATA_URI_V4) inside it",
    "ssh_tunnel_port": "{ssh_tunnel_port} is the port of the first outside endpoint, and there is none",
}

"""Where the agent of ECS Exec enters a container of podman's or docker's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.namespaces.agent_place import AgentPlace, cgroups_of

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.runners.podman.command_line import ContainerCommand


def agent_place(command: ContainerCommand, name: str, *, has_way_out: bool) -> AgentPlace:
    """Raises ``CommandFailed`` where there is no such container, and ``OSError`` where it has just ended."""
    pid, variables, directory = json.loads("[" + command.run("inspect", "--format", _FACTS, name) + "]")
    environment = dict(variable.partition("=")[::2] for variable in variables or ())
    return AgentPlace(pid, {"HOME": "/root", **environment}, directory or "/", cgroups_of(pid), has_way_out)


_FACTS = "{{json .State.Pid}},{{json .Config.Env}},{{json .Config.WorkingDir}}"

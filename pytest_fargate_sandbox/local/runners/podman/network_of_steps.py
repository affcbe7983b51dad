"""Whether the steps of a build can have a network, which podman without root gives them by a program of its user's.

podman 5 has pasta, older ones slirp4netns: https://docs.podman.io/en/v5.4.2/markdown/podman-build.1.html#network-mode-net
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.network.way_out import no_tun

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.runners.podman.command_line import ContainerCommand

_PACKAGES = {"pasta": "passt"}
"""Of Debian's, where its name is another."""


def network_program(command: ContainerCommand) -> str:
    """Empty where it takes none: with root, and for who is only a client of whoever has it."""
    if os.geteuid() == 0 or not command.is_local_podman:
        return ""
    return command.info["host"].get("rootlessNetworkCmd") or "slirp4netns"


def no_network(command: ContainerCommand) -> str | None:
    """Why steps have none, and so end as soon as they begin; None where they have one."""
    program = network_program(command)
    if not program:
        return None
    if (command.info["host"].get(program) or {}).get("executable"):
        problem = no_tun()
    else:
        problem = f"{program} is not installed (Debian: apt-get install {_PACKAGES.get(program, program)})"
    return f"without root podman gives a build's steps their network by {program}, and {problem}" if problem else None

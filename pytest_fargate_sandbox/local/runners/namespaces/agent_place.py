"""Where an agent of ECS Exec is to run: beside the program of a container that runs already, whoever started it."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import socket
import traceback
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_fargate_sandbox.local.runners.namespaces import linux, privileges
from pytest_fargate_sandbox.local.runners.namespaces.container_process import be_of_container, open_cgroups
from pytest_fargate_sandbox.local.runners.namespaces.descriptors import close_inherited
from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Channel
from pytest_fargate_sandbox.local.runners.namespaces.task_namespaces import CONTAINER_NAMESPACES
from pytest_fargate_sandbox.local.ssm.agent.agent_program import run_agent

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.runners.namespaces.container_plan import ContainerPlan

_CGROUPS = Path("/sys/fs/cgroup")
_COMMAND_LINE = b"/managed-agents/execute-command/amazon-ssm-agent"
_SIOCGSKNS = 0x894C
"""https://github.com/torvalds/linux/blob/v6.1/include/uapi/linux/sockios.h"""
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]


@dataclass(frozen=True)
class AgentPlace:
    """``pid`` is the container's first process, as the holder of its task sees it."""

    pid: int
    environment: dict[str, str]
    working_directory: str
    cgroups: tuple[str, ...]
    has_way_out: bool
    rootless: bool = False

    @classmethod
    def of_plan(cls, plan: ContainerPlan, pid: int) -> AgentPlace:
        own = {"PATH": plan.search_path, "HOSTNAME": plan.host_name, "HOME": "/root"}
        directory = plan.working_directory or "/"
        return cls(pid, own | plan.environment, directory, plan.cgroups, plan.has_way_out, plan.rootless)

    def to_message(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> AgentPlace:
        values = {field.name: message[field.name] for field in fields(cls)}
        return cls(**values | {"cgroups": tuple(values["cgroups"])})


def run_agent_at(place: AgentPlace, channel: int) -> NoReturn:
    """In a fork of the holder, which stays outside and waits for the agent: a child is what enters a PID namespace."""
    try:
        linux.die_with_parent()
        linux.hide_memory()  # what runs in the container could otherwise attach to us on our way
        linux.set_command_line(_COMMAND_LINE)
        _take_limits_of(place.pid)
        doors = open_cgroups(place.cgroups)
        close_inherited(channel, *doors)  # ports that the holder closes would stay open
        network = _network_here()
        process = os.pidfd_open(place.pid)
        _enter(process)
        linux.setns(process, linux.CLONE_NEWNET)
        if _network_here() != network:  # the container has ended, and another process of the machine has its number
            raise ProcessLookupError(errno.ESRCH, "the container is gone")
        pid = os.fork()
        if pid == 0:
            _become_agent(place, channel, doors)
        os.close(channel)
        os.waitpid(pid, 0)
    except BaseException as error:  # the container has just ended, or is of a kind that we cannot enter
        _tell_failure(channel, error)
    finally:
        os._exit(0)


def _become_agent(place: AgentPlace, channel: int, doors: list[int]) -> NoReturn:
    try:
        be_of_container(doors, channel)
        os.chdir(place.working_directory)
        os.umask(0o022)
        privileges.give_up_privileges(rootless=place.rootless, raw_sockets=not place.has_way_out)
        os.environ.clear()
        os.environ.update(place.environment)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        run_agent(Channel(socket.socket(fileno=channel)))
    except BaseException as error:
        _tell_failure(channel, error)
    finally:
        os._exit(1)


def _enter(process: int) -> None:
    """Which namespace of control groups it has, no ``/proc`` tells a holder that is in a PID namespace of its own.

    podman with old control groups leaves it the machine's, and only root may enter that. A refused call is as none.
    """
    try:
        linux.setns(process, CONTAINER_NAMESPACES | linux.CLONE_NEWCGROUP)
    except PermissionError:
        linux.setns(process, CONTAINER_NAMESPACES)


def _network_here() -> tuple[int, int]:
    """Which we are in, also where no ``/proc`` tells: all containers of a task have the one that its holder has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        namespace = fcntl.ioctl(probe.fileno(), _SIOCGSKNS)
    try:
        found = os.fstat(namespace)
        return found.st_dev, found.st_ino
    finally:
        os.close(namespace)


def _take_limits_of(pid: int) -> None:
    """Those of open files and the like that the container's own program has."""
    for number in _LIMITS:
        try:
            resource.setrlimit(number, resource.prlimit(pid, number))
        except (OSError, ValueError):  # noqa: PERF203 - more than we may have
            pass


def _tell_failure(channel: int, error: BaseException) -> None:
    words = str(error) if isinstance(error, OSError) else traceback.format_exc()
    try:
        Channel(socket.socket(fileno=channel)).send({"failed": words})
    except OSError:  # closed here already, or the engine is gone
        pass


def cgroups_of(pid: int) -> tuple[str, ...]:
    """The directories of the groups that limit it, of either version."""
    found = []
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        name = (
            controllers.removeprefix("name=") if controllers else ("unified" if (_CGROUPS / "unified").exists() else "")
        )
        directory = _CGROUPS / name / path.lstrip("/")
        if directory.exists():
            found.append(str(directory))
    return tuple(found)

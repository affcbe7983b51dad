"""The seam between the engine's control plane and whatever really runs containers.

The control plane decides *when* a container starts and what its end means (``dependsOn``, health, ``essential``,
statuses); a runner decides *how* it runs. There are two: in ``namespaces``, and in ``podman`` or docker.

A runner is made by its own constructor, all of them with the same keywords::

    NamespacesRunner(images={"reference": ("/upper", "/lower")}, gate_address=("127.0.0.1", 41234))

``images`` are the directories given with ``--image``; ``gate_address`` is where the engine's gate listens on the host:
what a task sends to ``127.0.0.1:<TaskSpec.gate_port>`` arrives there, on a connection of its own, and nowhere else.
Each runner's class has ``available() -> str | None``: None where it works, else why not and what to do about it.

Every method may be called from any thread, and blocks. Callbacks come from threads of the runner: ``on_output`` must
be quick; ``on_exit`` may call back into the runner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True)
class Mount:
    """A volume of the task, as one container sees it."""

    volume: str
    path: str
    read_only: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """One container, with overrides and secrets already resolved.

    ``entry_point`` and ``command`` None mean the image's own, where the image has any.
    """

    name: str
    image: str
    entry_point: tuple[str, ...] | None
    command: tuple[str, ...] | None
    environment: Mapping[str, str]
    working_directory: str | None = None
    user: str | None = None
    mounts: tuple[Mount, ...] = ()
    read_only_root: bool = False
    memory_mib: int | None = None
    cpu_units: int | None = None
    ulimits: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class TaskSpec:
    """What the containers of one task share: a network, volumes, and the task's own limits.

    ``gate_port`` is the port, on the task's own 127.0.0.1, behind which the engine's gate answers. ``images`` are those
    of the containers to come. What ``has_way_out`` reaches the internet; others reach nothing but themselves.
    """

    task_id: str
    volumes: tuple[str, ...]
    memory_mib: int | None
    cpu_units: int | None
    gate_port: int | None
    images: tuple[str, ...] = ()
    has_way_out: bool = False


@dataclass(frozen=True)
class ContainerExit:
    """How a container ended: 128 + N for a signal N, as Docker says it; None where nobody knows."""

    code: int | None
    out_of_memory: bool = False
    reason: str = ""


class CannotPull(Exception):
    """The image is not to be had. The text is Fargate's, from ``CannotPullContainerError: `` on."""


class CannotStart(Exception):
    """The container did not come to run. The text is Fargate's, from ``CannotStartContainerError: `` on."""


class RunningTask(Protocol):
    """A task's network and volumes, and the containers started in it so far."""

    address: str
    """127.a.b.c, at which the ports that the task listens on answer, seen from the host."""

    def start(
        self,
        container: ContainerSpec,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[ContainerExit], None],
    ) -> None:
        """Returns when the container's own program runs; else raises CannotPull or CannotStart.

        ``on_output`` gets stdout and stderr as they come, merged; ``on_exit`` is called once, after the last of them.
        """

    def run_check(self, container: str, command: Sequence[str], timeout: float) -> int:
        """Run an argv inside the container (``CMD`` and ``CMD-SHELL`` are the caller's): its exit code, 0 is healthy.

        Not 0 as well: a check that took longer than ``timeout``, or a container that is gone.
        """

    def start_agent(self, container: str, channel: socket.socket) -> None:
        """Start the agent of ECS Exec (``local/ssm/agent``) in the container's namespaces, as root; else CannotStart.

        ``channel`` is its end of a ``Channel`` to the engine: it ends with that, or with the container.
        """

    def stop(self, container: str, grace: float) -> None:
        """TERM, ``grace`` seconds, KILL. Returns when the container is gone; harmless when it is gone already."""

    def close(self) -> None:
        """End the task: no process, mount, directory or socket of it is left. Idempotent."""


class Runner(Protocol):
    """Runs tasks on this machine."""

    name: str

    def pull(self, image: str) -> None:
        """Make sure that the image is here; else CannotPull."""

    def open_task(self, spec: TaskSpec) -> RunningTask:
        """A new task with a network of its own, nothing running in it yet."""

    def close(self) -> None:
        """Close what tasks are open, and end whatever the runner started for itself."""

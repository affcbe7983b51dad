"""One task as the engine sees it: requests to its holder, and what the holder tells unasked."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import socket
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.names import ENV_RUNTIME_SOURCE, ENV_SSHD_PORT, LOST_HOLDER, SHARED_VOLUME
from pytest_fargate_sandbox.local.runners.namespaces.container_output import ContainerOutput
from pytest_fargate_sandbox.local.runners.namespaces.container_plan import Bind, ContainerPlan
from pytest_fargate_sandbox.local.runners.namespaces.started_container import KILLED, StartedContainer
from pytest_fargate_sandbox.local.runners.namespaces.tree_removal import remove_tree
from pytest_fargate_sandbox.local.runners.network.way_out import RESOLVER, WayOut, prohibited_networks
from pytest_fargate_sandbox.local.runners.runner_contract import CannotStart, ContainerExit
from pytest_fargate_sandbox.local.runners.task_limits import most_of_a_container

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_fargate_sandbox.local.runners.namespaces.agent_place import AgentPlace
    from pytest_fargate_sandbox.local.runners.namespaces.control_group import ControlGroup
    from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Channel, Message
    from pytest_fargate_sandbox.local.runners.namespaces.image_directories import Image
    from pytest_fargate_sandbox.local.runners.namespaces.task_commons import TaskCommons
    from pytest_fargate_sandbox.local.runners.network.task_addresses import ClaimedAddress
    from pytest_fargate_sandbox.local.runners.runner_contract import ContainerSpec, TaskSpec

_LOG = logging.getLogger(__name__)
_PATIENCE = 60.0
"""A holder answers within milliseconds; on a machine that is swapping, within this."""
_ENDING_SEC = 5.0
"""One that has not done in this time what ends its containers may be stopped; its own end is theirs too."""
_CANNOT_START = (
    "CannotStartContainerError: ResourceInitializationError: failed to create new container runtime task: failed to "
    "create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
)
_HOSTS = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{address}\t{name}\n"


_NO_RESOLVER = "# This container has no outbound network.\n"


class HolderGone(Exception):
    """The process that held the task has died, and with it the task."""


class NamespacesTask:
    """A ``RunningTask``: see there."""

    def __init__(
        self,
        spec: TaskSpec,
        surroundings: TaskCommons,
        channel: Channel,
        directory: Path,
        group: ControlGroup | None,
    ) -> None:
        self._spec = spec
        self._surroundings = surroundings
        self._channel = channel
        self._directory = directory
        self._group = group
        self._claim: ClaimedAddress = surroundings.claim_address()
        self.address = self._claim.text
        self.host_name = spec.task_id[:63]
        self._numbers = itertools.count(1)
        self._answers: dict[int, Future[Message]] = {}
        self._containers: dict[str, StartedContainer] = {}
        self.opened: Future[None] = Future()
        """Done when there is a holder that takes orders."""
        self._lock = threading.Lock()
        self._closed = False
        self._gone = threading.Event()
        self._way_out: WayOut | None = None
        for volume in spec.volumes:
            (directory / "volumes" / volume).mkdir(parents=True)
        self.hosts_file = directory / "hosts"
        """One for all containers, as on Fargate: what one of them adds, all of them know."""
        self.hosts_file.write_text(_HOSTS.format(address=self.address, name=self.host_name))
        self.hosts_file.chmod(0o644)
        self.resolver_file = directory / "resolv.conf"
        self.resolver_file.write_text(f"nameserver {RESOLVER}\n" if spec.has_way_out else _NO_RESOLVER)
        self.resolver_file.chmod(0o644)
        surroundings.loop.watch(channel.fileno(), self._hear)

    def start(
        self,
        container: ContainerSpec,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[ContainerExit], None],
    ) -> None:
        image = self._surroundings.images.find(container.image)
        group = self._open_group(container)
        plan = self._plan(container, image, group)
        _make_directories(plan)
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        running = StartedContainer(ContainerOutput(self._surroundings.loop, read_end, on_output), on_exit, group)
        with self._lock:
            self._containers[container.name] = running
        listener = self._listen_for_sidecar(container) if plan.sidecar_volume else None
        try:
            answer = self._ask(
                "start", write_end, *([listener.fileno()] if listener else []), container=plan.to_message()
            )
        except HolderGone as error:
            answer = {"error": str(error)}
        finally:
            os.close(write_end)
            if listener:
                listener.close()
        if "error" in answer:
            with self._lock:
                self._containers.pop(container.name, None)
            running.discard()
            raise CannotStart(f"{_CANNOT_START}{answer['error']}: unknown")
        running.started.set()

    def run_check(self, container: str, command: Sequence[str], timeout: float) -> int:
        try:
            answer = self._ask("check", container=container, argv=list(command), timeout=timeout, patience=timeout)
        except HolderGone:
            return KILLED
        return int(answer["code"])

    def start_agent(self, container: str, channel: socket.socket, place: AgentPlace | None = None) -> None:
        """``place`` is where, in a container that is none of ours."""
        where: dict[str, Any] = {"place": place.to_message()} if place else {}
        try:
            answer = self._ask("agent", channel.fileno(), container=container, **where)
        except HolderGone as error:
            answer = {"error": str(error)}
        if "error" in answer:
            raise CannotStart(answer["error"])

    def stop(self, container: str, grace: float) -> None:
        with self._lock:
            running = self._containers.get(container)
        if running is None:
            return
        if grace:
            self._tell({"op": "kill", "container": container, "signal": int(signal.SIGTERM)})
        if running.gone.wait(grace):
            return
        with self._unlimited_cpu():
            self._tell({"op": "kill", "container": container, "signal": int(signal.SIGKILL)})
            if not running.gone.wait(_ENDING_SEC):
                self._surroundings.kill_holder(self._spec.task_id)
                running.gone.wait(_PATIENCE)

    def open_way_out(self) -> None:
        """Before anything runs in the task. Raises CannotStart."""
        answer = self._ask("namespaces", prohibited=prohibited_networks())
        if "error" in answer:
            raise CannotStart(f"ResourceInitializationError: the task's network has no way out: {answer['error']}")
        self._way_out = WayOut(*answer["descriptors"], rootless=self._surroundings.rootless)

    def look_soon(self) -> None:
        """A program that is none of ours has started in this network: its ports are to be found quickly."""
        self._tell({"op": "look"})

    def run_directory(self, container: str) -> Path:
        """Where the command that runs a container which is none of ours may leave what it likes."""
        directory = self._directory / f"run-{container}"
        directory.mkdir(exist_ok=True)
        return directory

    def volume_directory(self, volume: str) -> Path:
        return self._directory / "volumes" / volume

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        if self._group:
            self._group.lift_cpu()
        try:
            self._ask("close", patience=_ENDING_SEC - _PATIENCE)
        except HolderGone:
            pass
        except FutureTimeout:
            self._surroundings.kill_holder(self._spec.task_id)
        self._gone.wait(_PATIENCE)
        if self._way_out:
            self._way_out.close()
        self._claim.release()
        if self._group:
            self._group.remove()
        remove_tree(self._directory)
        self._surroundings.forget(self._spec.task_id)

    def holder_gone(self) -> None:
        """The launcher has reaped the holder: nothing of the task lives any more."""
        self._gone.set()

    # --- what a container is made of --------------------------------------------------------------------------------
    def _open_group(self, container: ContainerSpec) -> ControlGroup | None:
        if self._group is None:
            return None
        group = self._group.child(container.name)
        group.limit_processes(most_of_a_container())
        if container.memory_mib:
            group.limit_memory(container.memory_mib)
        if container.cpu_units:
            group.share_cpu(container.cpu_units)
        return group

    @contextmanager
    def _unlimited_cpu(self) -> Iterator[None]:
        if self._group:
            self._group.lift_cpu()
        yield
        if self._group and self._spec.cpu_units and not self._closed:
            self._group.limit_cpu(self._spec.cpu_units)

    def _plan(self, container: ContainerSpec, image: Image, group: ControlGroup | None) -> ContainerPlan:
        argv = (*(container.entry_point or ()), *(container.command or ()))
        if not argv and not image.is_built_in_sidecar:
            raise CannotStart("CannotStartContainerError: Error response from daemon: no command specified")
        environment = dict(container.environment)
        binds = (*image.binds, *self._volumes(container))
        sidecar_volume = None
        if image.is_built_in_sidecar:
            sidecar_volume = next((mount.path for mount in container.mounts if mount.volume == SHARED_VOLUME), None)
            if sidecar_volume is None:
                raise CannotStart(f"CannotStartContainerError: the sidecar mounts no volume named {SHARED_VOLUME}")
            runtime = self._surroundings.runtime.find(environment)
            if runtime is not None:
                environment[ENV_RUNTIME_SOURCE] = runtime.target
                binds = (*binds, runtime)
        return ContainerPlan(
            name=container.name,
            directory=str(self._directory / f"container-{next(self._numbers)}"),
            layers=image.layers,
            host_layers=image.host_layers,
            host_as_nobody=image.host_as_nobody,
            binds=binds,
            argv=argv,
            environment=environment,
            host_name=self.host_name,
            hosts_file=str(self.hosts_file),
            resolver=self.resolver_file.read_text(),
            has_way_out=self._spec.has_way_out,
            search_path=image.search_path,
            rootless=self._surroundings.rootless,
            working_directory=container.working_directory,
            user=container.user,
            read_only_root=container.read_only_root,
            ulimits=container.ulimits,
            cgroups=tuple(map(str, group.directories)) if group else (),
            sidecar_volume=sidecar_volume,
        )

    def _volumes(self, container: ContainerSpec) -> tuple[Bind, ...]:
        return tuple(
            Bind(str(self.volume_directory(mount.volume)), mount.path, mount.read_only) for mount in container.mounts
        )

    def _listen_for_sidecar(self, container: ContainerSpec) -> socket.socket:
        """Made out here, and handed to it: so no relay is between it and its clients."""
        port = int(container.environment.get(ENV_SSHD_PORT) or 2222)
        try:
            return self._claim.listen(port)
        except OSError as error:
            raise CannotStart(
                f"CannotStartContainerError: port {port} cannot be opened at {self.address} on this machine: "
                f"{os.strerror(error.errno or 0)}; something else listens on it at every address"
            ) from error

    # --- the conversation with the holder ---------------------------------------------------------------------------
    def _ask(self, operation: str, *descriptors: int, patience: float = 0.0, **details: Any) -> Message:
        number = next(self._numbers)
        answer: Future[Message] = Future()
        self._answers[number] = answer
        if not self._tell({"op": operation, "id": number, **details}, *descriptors):
            raise HolderGone(LOST_HOLDER)
        return answer.result(patience + _PATIENCE)

    def _tell(self, message: Message, *descriptors: int) -> bool:
        try:
            self._channel.send(message, *descriptors)
        except OSError:
            return False
        return True

    def _hear(self) -> None:
        received = self._channel.receive()
        if received is None:
            self._lose_holder()
            return
        message, descriptors = received
        if "answers" in message:
            self._answers.pop(message["answers"]).set_result({**message, "descriptors": descriptors})
        elif message["event"] == "open":
            self.opened.set_result(None)
        elif message["event"] == "exit":
            self._container_exited(message["container"], message["code"])
        elif message["event"] == "port":
            self._open_port(message["port"])
        elif message["event"] == "gate":
            self._dial_gate(message["number"])

    def _lose_holder(self) -> None:
        self._surroundings.loop.forget(self._channel.fileno())
        self._channel.close()
        gone = HolderGone(LOST_HOLDER)
        if not self.opened.done():
            self.opened.set_exception(gone)
        while self._answers:
            self._answers.popitem()[1].set_exception(gone)
        for name in list(self._containers):
            self._container_exited(name, KILLED, LOST_HOLDER)

    def _container_exited(self, name: str, code: int, reason: str = "") -> None:
        with self._lock:
            running = self._containers.pop(name, None)
        if running:
            running.finish(code, reason)

    def _open_port(self, port: int) -> None:
        try:
            with self._claim.listen(port) as listener:
                self._tell({"op": "outside", "port": port}, listener.fileno())
        except OSError as error:
            _LOG.warning("Port %d of task %s is not reachable at %s: %s", port, self._spec.task_id, self.address, error)
            self._tell({"op": "outside", "port": port})

    def _dial_gate(self, number: int) -> None:
        """Without waiting for the gate to accept: who floods it must not stop the loop that all tasks share."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            try:
                connection.connect(self._surroundings.gate_address)
            except BlockingIOError:
                pass
            except OSError:
                self._tell({"op": "gate", "number": number})
                return
            self._tell({"op": "gate", "number": number}, connection.fileno())


def _make_directories(plan: ContainerPlan) -> None:
    for name in ("root", "upper", "work"):
        Path(plan.directory, name).mkdir(parents=True)
    if plan.layers:  # the root of an overlay looks like its upper layer's
        Path(plan.directory, "upper").chmod(0o755)

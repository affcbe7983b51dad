"""A task of real containers: an infra container that owns the network, and those that join it."""

from __future__ import annotations

import math
import os
import subprocess
import threading
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import SIDECAR_REFERENCE
from pytest_fargate_sandbox.local.runners.podman.agent_entry import agent_place
from pytest_fargate_sandbox.local.runners.podman.command_container import CommandContainer
from pytest_fargate_sandbox.local.runners.podman.command_line import CommandFailed
from pytest_fargate_sandbox.local.runners.podman.pause_image import PAUSE_IMAGE
from pytest_fargate_sandbox.local.runners.runner_contract import CannotStart

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
    from pytest_fargate_sandbox.local.runners.podman.command_line import ContainerCommand
    from pytest_fargate_sandbox.local.runners.podman.stored_images import StoredImages
    from pytest_fargate_sandbox.local.runners.runner_contract import ContainerExit, ContainerSpec, TaskSpec

_EXIT_PATIENCE_SEC = 5.0
_CHECK_TIMED_OUT = 137


class CommandTask:
    """A ``RunningTask``. Its network, volumes and built-in sidecar are a namespaces task's without containers."""

    def __init__(
        self,
        command: ContainerCommand,
        images: StoredImages,
        spec: TaskSpec,
        *,
        label: str,
        on_closed: Callable[[CommandTask], None],
    ) -> None:
        self._command = command
        self._images = images
        self._spec = spec
        self._label = label
        self._on_closed = on_closed
        self._infra = f"fargate-sandbox-{spec.task_id[:12]}"
        self._containers: dict[str, CommandContainer] = {}
        self._in_network: set[str] = set()
        self._closed = threading.Lock()
        self._is_closed = False

    def open(self, networks: NamespacesRunner) -> None:
        """Start the infra container, and a holder that joins its network."""
        options = ["--network", "none", "--name", self._infra, *self._common_options(), "--pull", "never"]
        options += self._command.ulimit_options(())
        try:
            self._command.run("run", "-d", *options, PAUSE_IMAGE)
            pid = self._command.state(self._infra)["Pid"]
            self._network = networks.open_task(self._spec, joins=pid)
        except BaseException:
            self._command.remove(self._infra)
            raise

    @property
    def address(self) -> str:
        return self._network.address

    def start(
        self,
        container: ContainerSpec,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[ContainerExit], None],
    ) -> None:
        if container.image == SIDECAR_REFERENCE:
            self._in_network.add(container.name)
            self._network.start(container, on_output, on_exit)
            return
        name = f"{self._infra}-{container.name}"
        directory = self._network.run_directory(container.name)
        started = CommandContainer(self._command, name, on_output, on_exit, directory)
        self._containers[container.name] = started
        options = [
            "--network", f"container:{self._infra}",
            *self._common_options(),
            *self._command.ulimit_options(container.ulimits),
            *self._command.limit_options(container.memory_mib or self._spec.memory_mib, self._spec.cpu_units),
            *self._mount_options(container),
        ]  # fmt: skip
        try:
            started.start(options, container, self._images.words_for(container.image))
        except CannotStart:
            del self._containers[container.name]
            raise
        self._network.look_soon()

    def run_check(self, container: str, command: Sequence[str], timeout: float) -> int:
        if container in self._in_network:
            return self._network.run_check(container, command, timeout)
        known = self._containers.get(container)
        if known is None:
            return _CHECK_TIMED_OUT
        try:
            # With -i its input is a pipe; without, the host's own /dev/null, which its root could chmod.
            self._command.run("exec", "-i", known.name, *command, timeout=timeout)
        except subprocess.TimeoutExpired:
            return _CHECK_TIMED_OUT
        except CommandFailed as failed:
            return failed.code
        return 0

    def start_agent(self, container: str, channel: socket.socket) -> None:
        known = self._containers.get(container)
        if known is None:
            self._network.start_agent(container, channel)
            return
        try:
            place = agent_place(self._command, known.name, has_way_out=self._spec.has_way_out)
        except (CommandFailed, OSError) as error:
            raise CannotStart(str(error)) from error
        self._network.start_agent(container, channel, place)

    def stop(self, container: str, grace: float) -> None:
        if container in self._in_network:
            self._network.stop(container, grace)
            return
        known = self._containers.get(container)
        if known is None:
            return
        if grace > 0:
            self._command.succeeds("stop", "-t", str(math.ceil(grace)), known.name)
        else:
            self._command.succeeds("kill", known.name)
        known.join(_EXIT_PATIENCE_SEC)

    def close(self) -> None:
        with self._closed:
            if self._is_closed:
                return
            self._is_closed = True
        self._command.remove(*(container.name for container in self._containers.values()))
        for container in self._containers.values():
            container.join(_EXIT_PATIENCE_SEC)
        self._command.remove(self._infra)
        if self._command.is_podman and os.geteuid() != 0:
            # What the containers' users wrote belongs to ids that only podman can turn back into ours.
            volumes = [str(self._network.volume_directory(name)) for name in self._spec.volumes]
            self._command.succeeds("unshare", "rm", "-rf", *volumes)
        self._network.close()
        self._on_closed(self)

    def _common_options(self) -> list[str]:
        security = ["--security-opt", "label=disable", *self._command.security_options]
        # For ping, which Fargate's containers may; raw sockets know no routes, and a way out has some that are closed.
        raw_sockets = ["--cap-drop" if self._spec.has_way_out else "--cap-add", "NET_RAW"]
        return ["--label", self._label, *raw_sockets, *self._command.namespace_options(), *security]

    def _mount_options(self, container: ContainerSpec) -> list[str]:
        """``/etc/hosts`` is the task's, in every container; podman would make one for each."""
        options = ["--volume", f"{self._network.hosts_file}:/etc/hosts"]
        if self._spec.has_way_out:
            options += ["--volume", f"{self._network.resolver_file}:/etc/resolv.conf"]
        if self._command.is_podman:
            options += ["--hostname", self._network.host_name]  # docker takes the infra container's
        for mount in container.mounts:
            source = self._network.volume_directory(mount.volume)
            options += ["--volume", f"{source}:{mount.path}" + (":ro" if mount.read_only else "")]
        return options

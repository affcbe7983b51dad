"""The runner itself: what it needs on this machine, and the tasks that it opens."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pytest_fargate_sandbox.local.runners.namespaces.namespaces_runner import NamespacesRunner
from pytest_fargate_sandbox.local.runners.podman.command_line import CommandFailed, ContainerCommand
from pytest_fargate_sandbox.local.runners.podman.command_task import CommandTask
from pytest_fargate_sandbox.local.runners.podman.pause_image import ensure_pause_image, pause_is_known
from pytest_fargate_sandbox.local.runners.podman.stored_images import StoredImages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.local.runners.runner_contract import TaskSpec

_GUARD = Path(__file__).with_name("guard.py")
_GUARD_PATIENCE_SEC = 30.0


class CommandRunner:
    """Runs tasks through one program. Its containers carry its label, by which the guard finds what a kill left."""

    name: ClassVar[str]

    @classmethod
    def available(cls) -> str | None:
        if not pause_is_known():
            return f"the infra container's program is not written for this machine ({platform.machine()})"
        if shutil.which(cls.name) is None:
            return f"there is no {cls.name} command here; install it, or use another runner"
        try:
            # Not `info`, which succeeds without a daemon where docker formats what it tells.
            ContainerCommand(cls.name).run("ps", "--quiet")
        except (CommandFailed, subprocess.TimeoutExpired) as error:
            return f"{cls.name} is here but does not answer: {error}"
        return None

    def __init__(self, *, images: Mapping[str, tuple[str, ...]], gate_address: tuple[str, int]) -> None:
        self._command = ContainerCommand(self.name)
        self._images = StoredImages(self._command, images)
        self._label = f"fargate-sandbox.engine={uuid.uuid4().hex}"
        self._tasks: set[CommandTask] = set()
        self._networks = NamespacesRunner(images={}, gate_address=gate_address, may_lack_python=True)
        self._command.protect_from_containers(self._networks.make_directory("protection"))
        self._guard = _start_guard(self._command, self._label)
        ensure_pause_image(self._command)

    def pull(self, image: str) -> None:
        self._images.pull(image)

    def open_task(self, spec: TaskSpec) -> CommandTask:
        task = CommandTask(self._command, self._images, spec, label=self._label, on_closed=self._tasks.discard)
        task.open(self._networks)
        self._tasks.add(task)
        return task

    def close(self) -> None:
        for task in list(self._tasks):
            task.close()
        self._networks.close()
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        self._guard.wait(_GUARD_PATIENCE_SEC)


class PodmanRunner(CommandRunner):
    """Rootful or rootless podman."""

    name = "podman"


class DockerRunner(CommandRunner):
    """docker, or whatever answers to its command line."""

    name = "docker"


def _start_guard(command: ContainerCommand, label: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(_GUARD), label, *command.argv()],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

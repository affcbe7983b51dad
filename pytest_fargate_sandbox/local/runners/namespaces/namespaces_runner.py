"""The runner itself: the engine's side of launcher and holders."""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import HOST_IMAGE
from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Channel
from pytest_fargate_sandbox.local.runners.namespaces.image_directories import ImageDirectories
from pytest_fargate_sandbox.local.runners.namespaces.namespaces_task import NamespacesTask
from pytest_fargate_sandbox.local.runners.namespaces.portable_python import Runtime
from pytest_fargate_sandbox.local.runners.namespaces.probe import available
from pytest_fargate_sandbox.local.runners.namespaces.scratch import HOST_LAYERS, Scratch
from pytest_fargate_sandbox.local.runners.namespaces.sealed_program import start_module
from pytest_fargate_sandbox.local.runners.namespaces.task_commons import TaskCommons
from pytest_fargate_sandbox.local.runners.task_limits import most_processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_fargate_sandbox.local.runners.namespaces.control_group import ControlGroup
    from pytest_fargate_sandbox.local.runners.runner_contract import TaskSpec

_LOG = logging.getLogger(__name__)
_PATIENCE = 30.0


class LauncherFailed(Exception):
    """The launcher did not come up, or has died; the text has its last words."""


class NamespacesRunner:
    """Tasks as real processes in real namespaces, by root or anybody; nothing need be installed."""

    name = "namespaces"
    available = staticmethod(available)

    def __init__(
        self, *, images: Mapping[str, Sequence[str]], gate_address: tuple[str, int], may_lack_python: bool = False
    ) -> None:
        """``may_lack_python``: containers that are none of ours, and may need the sidecar's Python, join our tasks."""
        rootless = os.geteuid() != 0
        self._scratch = Scratch()
        self._launcher_ready: Future[None] = Future()
        self._channel, self._launcher = self._start_launcher()
        found = ImageDirectories(images, self._scratch.path / HOST_LAYERS, self._launcher.pid, rootless=rootless)
        runtime = Runtime(self._scratch.path / "runtime", expected=may_lack_python or found.may_lack_python())
        self._surroundings = TaskCommons(found, runtime, gate_address, rootless=rootless, forget=self._forget)
        self._group = self._scratch.open_control_group()
        self._tasks: dict[str, NamespacesTask] = {}
        self._lost: LauncherFailed | None = None
        self._lock = threading.Lock()
        self._surroundings.loop.watch(self._channel.fileno(), self._hear)
        self._thread = threading.Thread(target=self._surroundings.loop.run, name="namespaces-runner", daemon=True)
        self._thread.start()
        self._preparation = threading.Thread(target=self._prepare_host_image, name="host-image", daemon=True)
        self._preparation.start()

    def _prepare_host_image(self) -> None:
        """While the engine is still starting: copying /etc takes an engine without root a moment."""
        try:
            self.pull(HOST_IMAGE)
        except Exception as error:  # whoever asks for the image hears of it again
            _LOG.debug("The default image is not ready: %s", error)

    def make_directory(self, name: str) -> Path:
        """For whoever uses this runner: private, and gone with it, even if it is killed."""
        directory = self._scratch.path / name
        directory.mkdir()
        return directory

    def pull(self, image: str) -> None:
        self._launcher_ready.result(_PATIENCE)
        self._surroundings.images.find(image)

    def open_task(self, spec: TaskSpec, *, joins: int | None = None) -> NamespacesTask:
        """``joins``: a process, of an infra container say, whose network the task shall have instead of a new one."""
        self._launcher_ready.result(_PATIENCE)
        directory = self._scratch.task_directory(spec.task_id)
        group = self._group.child(spec.task_id) if self._group else None
        if group:
            _limit_task(group, spec)
        ours, theirs = Channel.pair()
        task = NamespacesTask(spec, self._surroundings, ours, directory, group)
        self._tasks[spec.task_id] = task
        order = {
            "task": spec.task_id,
            "rootless": self._surroundings.rootless,
            "uid": os.geteuid(),
            "gid": os.getegid(),
            "gate_port": spec.gate_port,
            "joins": joins,
        }
        try:
            try:
                with self._lock:
                    self._channel.send(order, theirs.fileno())
            except OSError:
                task.holder_gone()
                raise
            theirs.close()
            task.wait_open()
        except BaseException as error:
            theirs.close()
            task.close()
            raise self._lost or error from None
        return task

    def close(self) -> None:
        self._preparation.join(_PATIENCE)
        for task in list(self._tasks.values()):
            task.close()
        if self._lost is None:
            self._channel.end()
        self._launcher.wait(_PATIENCE)
        self._surroundings.loop.stop()
        self._thread.join(_PATIENCE)
        self._surroundings.loop.close()
        self._channel.close()
        self._scratch.remove()

    def _forget(self, task_id: str) -> None:
        self._tasks.pop(task_id, None)

    def _start_launcher(self) -> tuple[Channel, subprocess.Popen[bytes]]:
        ours, theirs = Channel.pair()
        module = "pytest_fargate_sandbox.local.runners.namespaces.launcher"
        with self._last_words.open("wb") as words:
            process = start_module(
                module,
                str(theirs.fileno()),
                str(self._scratch.path),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                pass_fds=[theirs.fileno()],
                env=_clean_environment(),
                cwd="/",
                start_new_session=True,  # a Ctrl-C is for the engine, which then ends its tasks in order
            )
        theirs.close()
        return ours, process

    @property
    def _last_words(self) -> Path:
        return self._scratch.path / "launcher.err"

    def _hear(self) -> None:
        received = self._channel.receive()
        if received is None:
            self._lose_launcher()
            return
        message, _ = received
        if "ready" in message:
            self._launcher_ready.set_result(None)
        elif (task := self._tasks.get(message["gone"])) is not None:
            task.holder_gone()

    def _lose_launcher(self) -> None:
        """At the end of the engine, or because it was killed: then every task has died with it."""
        self._surroundings.loop.forget(self._channel.fileno())
        words = self._last_words.read_text(errors="replace") if self._last_words.exists() else ""
        self._lost = LauncherFailed(f"the launcher of containers has ended. {words}".strip())
        if not self._launcher_ready.done():
            self._launcher_ready.set_exception(self._lost)
        for task in list(self._tasks.values()):
            task.holder_gone()


def _limit_task(group: ControlGroup, spec: TaskSpec) -> None:
    if spec.memory_mib:
        group.limit_memory(spec.memory_mib)
    if spec.cpu_units:
        group.limit_cpu(spec.cpu_units)
    group.limit_processes(most_processes())
    group.pass_on()


def _clean_environment() -> dict[str, str]:
    """The launcher and the built-in sidecar need to find their modules, and nothing else of ours."""
    kept = {name: value for name, value in os.environ.items() if name in ("PYTHONPATH", "TMPDIR")}
    return kept | {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}

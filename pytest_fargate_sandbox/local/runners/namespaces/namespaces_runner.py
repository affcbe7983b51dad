"""The runner itself: the engine's side of launcher and holders."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import HOST_IMAGE
from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Channel
from pytest_fargate_sandbox.local.runners.namespaces.image_directories import ImageDirectories
from pytest_fargate_sandbox.local.runners.namespaces.namespaces_task import HolderGone, NamespacesTask
from pytest_fargate_sandbox.local.runners.namespaces.portable_python import Runtime
from pytest_fargate_sandbox.local.runners.namespaces.probe import available
from pytest_fargate_sandbox.local.runners.namespaces.scratch import HOST_LAYERS, Scratch, room_in
from pytest_fargate_sandbox.local.runners.namespaces.task_commons import TaskCommons
from pytest_fargate_sandbox.local.runners.namespaces.warm_launcher import LauncherFailed, WarmLauncher
from pytest_fargate_sandbox.local.runners.task_limits import most_processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_fargate_sandbox.local.runners.namespaces.control_group import ControlGroup
    from pytest_fargate_sandbox.local.runners.runner_contract import TaskSpec

_LOG = logging.getLogger(__name__)
_PATIENCE = 30.0
_NEWS_SEC = 1.0
_OPENING_SEC = 60.0
"""A holder answers within milliseconds; on a machine that is swapping, within this."""


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
        found = ImageDirectories(images, self._scratch.path / HOST_LAYERS, rootless=rootless)
        runtime = Runtime(self._scratch.path / "runtime", expected=may_lack_python or found.may_lack_python())
        self._surroundings = TaskCommons(
            found, runtime, gate_address, rootless=rootless, forget=self._forget, kill_holder=self._kill_holder
        )
        self._tasks: dict[str, NamespacesTask] = {}
        self._lock = threading.Lock()
        self._launcher = self._start_launcher()
        self._group = self._scratch.open_control_group()
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
        self._ready_launcher()
        self._surroundings.images.find(image)

    def open_task(self, spec: TaskSpec, *, joins: int | None = None) -> NamespacesTask:
        """``joins``: a process, of an infra container say, whose network the task shall have instead of a new one."""
        launcher = self._ready_launcher()
        try:
            return self._open_task(launcher, spec, joins)
        except (OSError, HolderGone, LauncherFailed):
            if not launcher.ended.wait(_NEWS_SEC):
                raise
        return self._open_task(self._ready_launcher(), spec, joins)  # the task has not run anything yet

    def _open_task(self, launcher: WarmLauncher, spec: TaskSpec, joins: int | None) -> NamespacesTask:
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
                launcher.order(order, theirs.fileno())
            except OSError:
                task.holder_gone()
                raise
            theirs.close()
            launcher.wait_for(task.opened, _OPENING_SEC)
            if spec.has_way_out:
                task.open_way_out()
        except BaseException:
            theirs.close()
            task.close()
            raise
        return task

    def close(self) -> None:
        self._preparation.join(_PATIENCE)
        for task in list(self._tasks.values()):
            task.close()
        self._launcher.close()
        self._surroundings.loop.stop()
        self._thread.join(_PATIENCE)
        self._surroundings.loop.close()
        self._launcher.forget()
        self._scratch.remove()

    def _forget(self, task_id: str) -> None:
        self._tasks.pop(task_id, None)

    def _kill_holder(self, task_id: str) -> None:
        with contextlib.suppress(OSError):  # then it has died with the launcher
            self._launcher.order({"kill": task_id})

    def _start_launcher(self) -> WarmLauncher:
        with room_in(self._scratch.path.parent):
            launcher = WarmLauncher(
                self._scratch.path, self._surroundings.loop, on_gone=self._holder_gone, on_end=self._all_holders_gone
            )
        self._surroundings.images.follow(launcher.pid)
        return launcher

    def _ready_launcher(self) -> WarmLauncher:
        """The one that lives: another, where that of before was killed. One that never came up is not tried again."""
        with self._lock:
            if self._launcher.ended.is_set() and self._launcher.came_up:
                self._launcher.close()
                self._launcher.forget()
                self._launcher = self._start_launcher()
            launcher = self._launcher
        launcher.wait_ready()
        return launcher

    def _holder_gone(self, task_id: str) -> None:
        task = self._tasks.get(task_id)
        if task is not None:
            task.holder_gone()

    def _all_holders_gone(self) -> None:
        """At the end of the engine, or because the launcher was killed: then every task has died with it."""
        for task in list(self._tasks.values()):
            task.holder_gone()


def _limit_task(group: ControlGroup, spec: TaskSpec) -> None:
    if spec.memory_mib:
        group.limit_memory(spec.memory_mib)
    if spec.cpu_units:
        group.limit_cpu(spec.cpu_units)
    group.limit_processes(most_processes())
    group.pass_on()

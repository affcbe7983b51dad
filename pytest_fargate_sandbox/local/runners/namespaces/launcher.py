"""The engine's one warm process, which holders fork from.

    python -m pytest_fargate_sandbox.local.runners.namespaces.launcher FD SCRATCH

A program of its own, since only a process with one thread can be forked and given namespaces safely, and the engine
has many. It imports what containers need before it serves. It ends when its channel to the engine does, by whatever
way the engine ended; holders die with it, and the scratch directory goes.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_fargate_sandbox.providers.ssh.without_invoke  # noqa: F401 - before paramiko
from pytest_fargate_sandbox.local.runners.namespaces import linux
from pytest_fargate_sandbox.local.runners.namespaces.descriptors import close_inherited
from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop
from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Channel
from pytest_fargate_sandbox.local.runners.namespaces.scratch import HOST_LAYERS, remove_scratch
from pytest_fargate_sandbox.local.runners.namespaces.task_holder import hold_task
from pytest_fargate_sandbox.local.runners.namespaces.task_namespaces import TASK_NAMESPACES

if TYPE_CHECKING:
    from typing import NoReturn

    from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Message


class Launcher:
    """Forks a holder for each task that the engine opens, kills one that hangs, and says when one is gone."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loop = Loop()
        self._holders: dict[int, int] = {}
        self._pids: dict[str, int] = {}

    def run(self) -> None:
        self._loop.watch(self._channel.fileno(), self._serve)
        self._loop.run()
        for pid in self._holders:
            os.kill(pid, signal.SIGKILL)
        for pid in self._holders:
            os.waitpid(pid, 0)

    def _serve(self) -> None:
        received = self._channel.receive()
        if received is None:
            self._loop.stop()
            return
        task, ends = received
        if "kill" in task:
            self._kill(task["kill"])
            return
        (end,) = ends
        flags = TASK_NAMESPACES | (linux.CLONE_NEWUSER if task["rootless"] else 0)
        if task["joins"]:  # an infra container has the network already
            flags = 0
        pid = linux.clone(flags)
        if pid == 0:
            _become_holder(end, task)
        os.close(end)
        self._holders[pid] = os.pidfd_open(pid)
        self._pids[task["task"]] = pid
        self._loop.watch(self._holders[pid], lambda: self._holder_gone(pid, task["task"]))

    def _holder_gone(self, pid: int, task: str) -> None:
        handle = self._holders.pop(pid)
        self._pids.pop(task, None)
        self._loop.forget(handle)
        os.close(handle)
        os.waitpid(pid, 0)
        self._tell(gone=task)

    def _kill(self, task: str) -> None:
        """A holder that does not do what it is told: all that runs in the task goes with it."""
        pid = self._pids.get(task)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def _tell(self, **message: str) -> None:
        try:
            self._channel.send(dict(message))
        except OSError:  # the engine is gone: the loop will hear of it
            pass


def _become_holder(end: int, task: Message) -> NoReturn:
    code = 1
    try:
        linux.die_with_parent()
        close_inherited(end)
        hold_task(Channel(socket.socket(fileno=end)), task)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


def _give_host_layers_a_file_system(scratch: str) -> None:
    """The layer above the host's root must not lie in the host's root, or the kernel sees a loop. Ours alone to see."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("", "/", linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", f"{scratch}/{HOST_LAYERS}", linux.MS_NOSUID | linux.MS_NODEV, "mode=755,size=64m")


def main() -> None:
    descriptor, scratch = int(sys.argv[1]), sys.argv[2]
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=descriptor))
    sys.dont_write_bytecode = True  # what holders still import, they import where tasks are
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a relayed connection takes six descriptors
    if os.geteuid() == 0:
        _give_host_layers_a_file_system(scratch)
    gc.collect()
    gc.freeze()  # what was imported stays shared with every fork
    channel.send({"ready": os.getpid()})
    Launcher(channel).run()
    if os.geteuid() == 0:
        linux.detach(f"{scratch}/{HOST_LAYERS}")
    remove_scratch(Path(scratch))


if __name__ == "__main__":
    main()

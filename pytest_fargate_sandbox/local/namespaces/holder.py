"""The process that holds one task: first in its PID namespace, owner of its network, parent of its containers.

It is a fork of the launcher, so everything is imported already, and it has one thread. When it dies, for whatever
reason, the kernel kills all that ran in the task; it dies with the launcher, and the launcher with the engine.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local import sidecar_server
from pytest_fargate_sandbox.local.namespaces import linux
from pytest_fargate_sandbox.local.namespaces.container import run_container, run_in_container
from pytest_fargate_sandbox.local.namespaces.loop import Loop
from pytest_fargate_sandbox.local.namespaces.network import TaskNetwork
from pytest_fargate_sandbox.local.namespaces.plan import ContainerPlan
from pytest_fargate_sandbox.local.namespaces.task_namespaces import (
    CONTAINER_NAMESPACES,
    bring_loopback_up,
    map_own_user,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.namespaces.messages import Channel, Message

_CHECK_TIMED_OUT = 137


def hold_task(channel: Channel, task: Message) -> None:
    """The whole life of a holder; returns when the engine wants the task closed, or is gone."""
    if task["joins"]:
        linux.join_network(task["joins"])
    elif task["rootless"]:
        map_own_user(task["uid"], task["gid"])
    bring_loopback_up()
    Holder(channel, task).run()


class Holder:
    """Answers the engine's requests for one task."""

    def __init__(self, channel: Channel, task: Message) -> None:
        self._channel = channel
        self._loop = Loop()
        self._network = TaskNetwork(self._loop, channel, task["gate_port"])
        self._containers: dict[str, _Container] = {}
        self._requests: dict[str, Callable[[Message, list[int]], None]] = {
            "start": self._start,
            "check": self._check,
            "kill": self._kill,
            "look": lambda *_: self._network.look_soon(),
            "outside": self._network.port_opened,
            "gate": self._network.gate_dialled,
            "close": self._close,
        }

    def run(self) -> None:
        self._loop.watch(self._channel.fileno(), self._serve)
        self._channel.send({"event": "open"})
        self._loop.run()

    def _serve(self) -> None:
        received = self._channel.receive()
        if received is None:
            self._loop.stop()
            return
        request, descriptors = received
        self._requests[request["op"]](request, descriptors)

    def _answer(self, request: Message, **answer: Any) -> None:
        self._channel.send({"answers": request["id"], **answer})

    def _start(self, request: Message, descriptors: list[int]) -> None:
        plan = ContainerPlan.from_message(request["container"])
        output, *listeners = descriptors
        listener = socket.socket(fileno=listeners[0]) if listeners else None
        status, status_in_child = os.pipe2(os.O_CLOEXEC)
        pid = linux.clone(CONTAINER_NAMESPACES)
        if pid == 0:
            run_container(plan, output, status_in_child, listener)
        os.close(status_in_child)
        os.close(output)
        if listener:
            listener.close()
        container = _Container(plan, pid)
        self._containers[plan.name] = container
        self._loop.watch(status, lambda: self._started(request, container, status))
        self._loop.watch(container.handle, lambda: self._exited(container))
        self._network.look_soon()

    def _started(self, request: Message, container: _Container, status: int) -> None:
        """The status pipe speaks: it was closed by ``execve``, or says why there is none."""
        reason = os.read(status, 1 << 16)
        self._loop.forget(status)
        os.close(status)
        container.failed = bool(reason)
        if reason:
            self._answer(request, error=reason.decode(errors="replace"))
        else:
            self._answer(request)

    def _exited(self, container: _Container) -> None:
        """The first process is gone, and with it, says the kernel, every other of its namespace."""
        self._loop.forget(container.handle)
        status = container.reap()
        if self._containers.get(container.plan.name) is container:
            del self._containers[container.plan.name]
        code = os.waitstatus_to_exitcode(status)
        code = 128 - code if code < 0 else code
        self._loop.call_later(0, lambda: self._tell_exit(container, code))

    def _tell_exit(self, container: _Container, code: int) -> None:
        """After the status pipe has been read, so that a failed start is never taken for an exit."""
        if not container.failed:
            self._channel.send({"event": "exit", "container": container.plan.name, "code": code})

    def _kill(self, request: Message, _: list[int]) -> None:
        container = self._containers.get(request["container"])
        if container:
            os.kill(container.pid, request["signal"])

    def _check(self, request: Message, _: list[int]) -> None:
        container = self._containers.get(request["container"])
        if container is None:
            self._answer(request, code=_CHECK_TIMED_OUT)
            return
        pid = os.fork()
        if pid == 0 and container.plan.sidecar_volume:
            _run_sidecar_check(container.plan)
        if pid == 0:
            _run_check(container, tuple(request["argv"]), request["timeout"])
        checker = os.pidfd_open(pid)

        def finished() -> None:
            self._loop.forget(checker)
            os.close(checker)
            _, status = os.waitpid(pid, 0)
            self._answer(request, code=os.waitstatus_to_exitcode(status) & 0xFF)

        self._loop.watch(checker, finished)

    def _close(self, request: Message, _: list[int]) -> None:
        for container in self._containers.values():
            os.kill(container.pid, signal.SIGKILL)
        for container in self._containers.values():
            container.reap()
        self._answer(request)
        self._loop.stop()


class _Container:
    """One started container."""

    def __init__(self, plan: ContainerPlan, pid: int) -> None:
        self.plan = plan
        self.pid = pid
        self.handle = os.pidfd_open(pid)
        self.failed = False

    def reap(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        os.close(self.handle)
        return status


def _run_check(container: _Container, argv: tuple[str, ...], timeout: float) -> None:
    """In a fork: enter the container, run the check as its child, and exit with the check's code."""
    code = _CHECK_TIMED_OUT
    try:
        linux.die_with_parent()
        linux.hide_memory()  # what runs in the container could otherwise attach to us on our way to the check
        linux.setns(container.handle, CONTAINER_NAMESPACES)
        pid = os.fork()
        if pid == 0:
            run_in_container(container.plan, argv)
        code = _wait_or_kill(pid, timeout)
    finally:
        os._exit(code)


def _run_sidecar_check(plan: ContainerPlan) -> None:
    """In a fork, which stays where it is: in the task's network, with the volume at its place on the host."""
    code = 1
    try:
        shared = next(bind.source for bind in plan.binds if bind.target == plan.sidecar_volume)
        code = sidecar_server.check(plan.environment, shared)
    finally:
        os._exit(code)


def _wait_or_kill(pid: int, timeout: float) -> int:
    handle = os.pidfd_open(pid)
    ended, _, _ = select.select([handle], [], [], timeout)
    if not ended:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code

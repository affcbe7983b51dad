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

from pytest_fargate_sandbox.local.runners.namespaces import linux
from pytest_fargate_sandbox.local.runners.namespaces.agent_place import AgentPlace, run_agent_at
from pytest_fargate_sandbox.local.runners.namespaces.children import Children, exit_code
from pytest_fargate_sandbox.local.runners.namespaces.container_plan import ContainerPlan
from pytest_fargate_sandbox.local.runners.namespaces.container_process import (
    open_cgroups,
    run_container,
    run_in_container,
)
from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop
from pytest_fargate_sandbox.local.runners.namespaces.task_namespaces import (
    CONTAINER_NAMESPACES,
    bring_loopback_up,
    map_own_user,
)
from pytest_fargate_sandbox.local.runners.network.task_network import TaskNetwork
from pytest_fargate_sandbox.local.runners.network.way_out import prohibit
from pytest_fargate_sandbox.local.sidecar import sidecar_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Channel, Message

_CHECK_FAILED = 137


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
        self._children = Children(self._loop)
        self._network = TaskNetwork(self._loop, channel, task["gate_port"])
        self._containers: dict[str, _HeldContainer] = {}
        self._untold_exits = 0
        self._closing: Message | None = None
        self._requests: dict[str, Callable[[Message, list[int]], None]] = {
            "start": self._start,
            "check": self._check,
            "agent": self._start_agent,
            "kill": self._kill,
            "look": lambda *_: self._network.look_soon(),
            "outside": self._network.port_opened,
            "gate": self._network.gate_dialled,
            "namespaces": self._give_namespaces,
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
        try:
            pid = linux.clone(CONTAINER_NAMESPACES)
            if pid == 0:
                run_container(plan, output, status_in_child, listener)
        except OSError as error:
            os.close(status)
            self._answer(request, error=f"failed to create the container's namespaces: {error}")
            return
        finally:
            os.close(status_in_child)
            os.close(output)
            if listener:
                listener.close()
        container = _HeldContainer(plan, pid)
        self._containers[plan.name] = container
        self._loop.watch(status, lambda: self._started(request, container, status))
        self._children.expect(pid, lambda code: self._exited(container, code))
        self._network.look_soon()

    def _started(self, request: Message, container: _HeldContainer, status: int) -> None:
        """The status pipe speaks: it was closed by ``execve``, or says why there is none."""
        reason = os.read(status, 1 << 16)
        self._loop.forget(status)
        os.close(status)
        container.failed = bool(reason)
        if reason:
            self._answer(request, error=reason.decode(errors="replace"))
        else:
            self._answer(request)

    def _exited(self, container: _HeldContainer, code: int) -> None:
        """The first process is gone, and with it, says the kernel, every other of its namespace."""
        os.close(container.handle)
        if self._containers.get(container.plan.name) is container:
            del self._containers[container.plan.name]
        self._untold_exits += 1
        self._loop.call_later(0, lambda: self._tell_exit(container, code))

    def _tell_exit(self, container: _HeldContainer, code: int) -> None:
        """After the status pipe has been read, so that a failed start is never taken for an exit."""
        self._untold_exits -= 1
        if not container.failed:
            self._channel.send({"event": "exit", "container": container.plan.name, "code": code})
        self._end_if_empty()

    def _give_namespaces(self, request: Message, _: list[int]) -> None:
        """The task's network and whose it is, once that has no route to what is prohibited."""
        try:
            prohibit(request["prohibited"])
            with open("/proc/self/ns/net") as network, open("/proc/self/ns/user") as user:  # noqa: PTH123
                self._channel.send({"answers": request["id"]}, network.fileno(), user.fileno())
        except OSError as error:
            self._answer(request, error=str(error))

    def _kill(self, request: Message, _: list[int]) -> None:
        container = self._containers.get(request["container"])
        if container:
            os.kill(container.pid, request["signal"])

    def _check(self, request: Message, _: list[int]) -> None:
        container = self._containers.get(request["container"])
        if container is None:
            self._answer(request, code=_CHECK_FAILED)
            return
        try:
            pid = os.fork()
        except OSError:
            self._answer(request, code=_CHECK_FAILED)
            return
        if pid == 0 and container.plan.sidecar_volume:
            _run_sidecar_check(container)
        if pid == 0:
            _run_check(container, tuple(request["argv"]), request["timeout"])
        self._children.expect(pid, lambda code: self._answer(request, code=code))

    def _start_agent(self, request: Message, descriptors: list[int]) -> None:
        (channel,) = descriptors
        container = self._containers.get(request["container"])
        try:
            if "place" in request:
                place = AgentPlace.from_message(request["place"])
            elif container is not None:
                place = AgentPlace.of_plan(container.plan, container.pid)
            else:
                raise ProcessLookupError("the container is gone")
            if os.fork() == 0:
                run_agent_at(place, channel)
        except OSError as error:
            self._answer(request, error=str(error))
        else:
            self._answer(request)
        finally:
            os.close(channel)

    def _close(self, request: Message, _: list[int]) -> None:
        self._closing = request
        for container in self._containers.values():
            os.kill(container.pid, signal.SIGKILL)
        self._end_if_empty()

    def _end_if_empty(self) -> None:
        if self._closing and not self._containers and not self._untold_exits:
            self._answer(self._closing)
            self._loop.stop()


class _HeldContainer:
    """One started container."""

    def __init__(self, plan: ContainerPlan, pid: int) -> None:
        self.plan = plan
        self.pid = pid
        self.handle = os.pidfd_open(pid)
        self.failed = False


def _run_check(container: _HeldContainer, argv: tuple[str, ...], timeout: float) -> None:
    """In a fork: enter the container, run the check as its child, and exit with the check's code."""
    code = _CHECK_FAILED
    try:
        linux.die_with_parent()
        linux.hide_memory()  # what runs in the container could otherwise attach to us on our way to the check
        cgroups = open_cgroups(container.plan.cgroups)  # a check is the task's too; who waits for it is not
        linux.setns(container.handle, CONTAINER_NAMESPACES | linux.CLONE_NEWCGROUP)
        pid = os.fork()
        if pid == 0:
            run_in_container(container.plan, argv, cgroups)
        code = _wait_or_kill(pid, timeout)
    finally:
        os._exit(code)


def _run_sidecar_check(container: _HeldContainer) -> None:
    """In a fork, which goes where the sidecar's files are: another container may have put links into their volume."""
    code = 1
    try:
        linux.setns(container.handle, linux.CLONE_NEWNS)
        code = sidecar_server.check(container.plan.environment, str(container.plan.sidecar_volume))
    finally:
        os._exit(code)


def _wait_or_kill(pid: int, timeout: float) -> int:
    ended = select.poll()  # not select: its numbers end at 1024
    ended.register(os.pidfd_open(pid), select.POLLIN)
    if not ended.poll(timeout * 1000):
        os.kill(pid, signal.SIGKILL)
    return exit_code(os.waitpid(pid, 0)[1])

"""The agent in a container: it waits for sessions, and forks a worker for each."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NoReturn

from pytest_fargate_sandbox.local.runners.namespaces import linux
from pytest_fargate_sandbox.local.runners.namespaces.children import Children
from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop
from pytest_fargate_sandbox.local.ssm.agent.session_worker import run_session

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Channel

_NAME, _NAME_OF_WORKER = b"ssm-agent-worke", b"ssm-session-wor"
"""As the kernel cuts the names of the real ones."""


def run_agent(channel: Channel) -> NoReturn:
    """In a process that is in its container already, as root, with the environment and directory of commands."""
    linux.set_process_name(_NAME)
    _Agent(channel).run()
    os._exit(0)


class _Agent:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._loop = Loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        self._children = Children(self._loop)

    def run(self) -> None:
        self._loop.watch(self._channel.fileno(), self._serve)
        self._channel.send({"agent": os.getpid()})
        self._loop.run()

    def _serve(self) -> None:
        received = self._channel.receive()
        if received is None:
            self._loop.stop()
            return
        request, (door,) = received
        try:
            pid = os.fork()
        except OSError as error:  # the container has too many processes, or no memory left
            self._tell(request["session"], f"Unable to start session worker: {error}")
        else:
            if pid == 0:
                linux.set_process_name(_NAME_OF_WORKER)
                run_session(self._channel, request, door)
            self._children.expect(pid, lambda _: self._tell(request["session"], ""))
        os.close(door)

    def _tell(self, session: str, output: str) -> None:
        try:
            self._channel.send({"ended": session, "output": output})
        except OSError:  # the engine is gone: the loop hears of it
            pass

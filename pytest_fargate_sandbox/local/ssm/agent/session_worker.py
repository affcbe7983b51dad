"""The agent's process for one session: forked from it, and gone with the session."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING, Any, NoReturn

from pytest_fargate_sandbox.local.runners.namespaces import linux
from pytest_fargate_sandbox.local.runners.namespaces.descriptors import close_inherited
from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop
from pytest_fargate_sandbox.local.ssm.agent.interactive_command import InteractiveCommand
from pytest_fargate_sandbox.local.ssm.agent.port_session import PortSession
from pytest_fargate_sandbox.local.ssm.relay_words import DIAL

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Channel

_KINDS = {"Port": PortSession, "InteractiveCommands": InteractiveCommand}
_PATIENCE_SEC = 10.0


def run_session(channel: Channel, request: dict[str, Any], door: int) -> NoReturn:
    """``channel`` is the agent's own, by which the end is told; ``door`` is where data channels are asked for."""
    try:
        linux.die_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        close_inherited(channel.fileno(), door)
        loop = Loop()
        words: list[str] = []

        def end(output: str) -> None:
            words.append(output)
            loop.stop()

        session = _KINDS[request["kind"]](loop, _Door(socket.socket(fileno=door)).dial, request, end)
        loop.run()
        del session
        channel.send({"ended": request["session"], "output": words[0] if words else ""})
    except OSError:  # the engine is gone
        pass
    finally:
        os._exit(0)


class _Door:
    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.settimeout(_PATIENCE_SEC)

    def dial(self) -> socket.socket | None:
        """A new data channel; None where the gateway gives none now."""
        try:
            self._end.send(DIAL)
            _, descriptors, _, _ = socket.recv_fds(self._end, len(DIAL), 1)
        except OSError:
            return None
        return socket.socket(fileno=descriptors[0]) if descriptors else None

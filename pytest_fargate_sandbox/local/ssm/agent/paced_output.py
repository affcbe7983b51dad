"""What the agent sends of a session: a kilobyte at most in a message, and a millisecond between two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pytest_fargate_sandbox.leaves.session_message import PayloadType

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop
    from pytest_fargate_sandbox.local.ssm.agent.agent_channel import AgentChannel

LARGEST_PAYLOAD: Final = 1024
_PAUSE_SEC = 0.001


class PacedOutput:
    """``take`` gives the next bytes, at most ``LARGEST_PAYLOAD`` of them, or none for now."""

    def __init__(self, loop: Loop, channel: AgentChannel, take: Callable[[], bytes]) -> None:
        self._loop, self._channel, self._take = loop, channel, take
        self._rests = False

    def look(self) -> None:
        """There may be something, or the channel may take something again."""
        if self._rests or not self._channel.may_send:
            return
        data = self._take()
        if data:
            self._rests = True
            self._channel.send(PayloadType.DATA, data)
            self._loop.call_later(_PAUSE_SEC, self._go_on)

    def _go_on(self) -> None:
        self._rests = False
        self.look()

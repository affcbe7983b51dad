"""The engine's end of one agent: sessions are ordered here, and their ends heard of."""

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Channel
from pytest_fargate_sandbox.local.runners.runner_contract import CannotStart

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.runner_contract import RunningTask

_PATIENCE_SEC = 30.0
_MOST_WORDS = 4000


class AgentLink:
    """``on_end`` is told a session's id and last words, as the agent tells them."""

    def __init__(self, on_end: Callable[[str, str], None]) -> None:
        self._on_end = on_end
        self._channel, self._agents_end = Channel.pair()
        self._channel.socket.setblocking(False)  # whoever stops the agent stops nobody here
        self._lock = threading.Lock()
        self.is_connected = False

    def start(self, running: RunningTask, container: str) -> None:
        """Raises ``CannotStart``."""
        try:
            running.start_agent(container, self._agents_end.socket)
        except BaseException:
            self._channel.close()
            raise
        finally:
            self._agents_end.close()
        received = self._channel.receive() if self._wait() else None
        if received is None or "failed" in received[0]:
            self._channel.close()
            raise CannotStart(received[0]["failed"] if received else "the agent has ended as soon as it was started")
        self.is_connected = True
        threading.Thread(target=self._listen, name="ssm-agent", daemon=True).start()

    def order(self, request: dict[str, Any], door: int) -> None:
        """Raises ``OSError`` where it has gone."""
        with self._lock:
            self._channel.send(request, door)

    def close(self) -> None:
        """Its container has ended; so has it, or it does now."""
        with self._lock:
            if self.is_connected:
                self._channel.end()
            self.is_connected = False

    def _wait(self, seconds: float | None = _PATIENCE_SEC) -> bool:
        readable = select.poll()
        readable.register(self._channel.fileno(), select.POLLIN)
        return bool(readable.poll(None if seconds is None else seconds * 1000))

    def _listen(self) -> None:
        while self._wait(None):
            received = self._channel.receive()
            if received is None:
                break
            # It is a process of ours, but it lives among others'.
            ended, output = str(received[0].get("ended")), str(received[0].get("output"))[:_MOST_WORDS]
            self._on_end(ended, output)
        with self._lock:
            self.is_connected = False
            self._channel.close()

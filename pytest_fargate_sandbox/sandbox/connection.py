"""The way into one task: the door that is knocked at, and what answers behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.results import Endpoint
from pytest_fargate_sandbox.leaves.sockets import LOOPBACK
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.sandbox.exec import own_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.exec.exec_connection import Stream

_LONGEST_PAUSE_SEC = 0.3
_NEVER = 1_000_000
"""How often to try is not the tunnel's to decide: ``still_alive`` ends the wait."""


class Tunnel(Protocol):
    """What is needed of a way into a task: ``SshTunnel`` is one."""

    @property
    def local_port(self) -> int: ...
    def open(
        self, *, max_retries: int = ..., initial_backoff: float = ..., still_alive: Callable[[], None] | None = ...
    ) -> None: ...
    def close(self) -> None: ...
    def reconnect(self) -> None: ...
    def expose(self, port: int) -> int: ...
    def dial(self, port: int, timeout: float = ...) -> Stream: ...


class Door(NamedTuple):
    """``container`` has to run for it to open; ``why_closed`` looks, and says in a sentence why it does not."""

    tunnel: Tunnel
    container: str
    why_closed: Callable[[], str]


class Connection:
    """Opened once, closed once. In between, a tunnel that is used and finds itself broken connects again by itself.

    Here it leads to a port that somebody else serves; that it takes connections is all that can be asked of it.
    """

    exec_client: ExecClient | None = None

    def __init__(self, host: str, door: Door, inner_port: int) -> None:
        self.host = host
        self.door = door
        self.inner_port = inner_port
        self.tunnel = door.tunnel

    @property
    def local_port(self) -> int:
        """A port on our loopback that leads to the inner one."""
        return self.tunnel.local_port

    def expose(self, port: int) -> Endpoint:
        """A port on our loopback that leads to ``port`` on the task's, whether something listens there yet or not."""
        return Endpoint(LOOPBACK, self.tunnel.expose(port))

    def open(self, still_alive: Callable[[], None]) -> None:
        """Log in, trying until it works or ``still_alive`` raises."""
        self.tunnel.open(max_retries=_NEVER, initial_backoff=_LONGEST_PAUSE_SEC, still_alive=still_alive)

    def wait_ready(self, longest_sec: float, still_alive: Callable[[], None]) -> None:
        """Return when the inner port is served; ``still_alive`` is called all the while, and may raise."""

        def probe() -> bool | None:
            still_alive()
            return self._takes_connections() or None

        wait_until(probe, deadline=longest_sec, what=f"a connection to port {self.inner_port} of the task")

    def is_well(self) -> bool:
        """Whether the sandbox answers through the tunnel, which is connected again if need be."""
        return self._takes_connections()

    def close(self) -> None:
        self.tunnel.close()

    def _takes_connections(self) -> bool:
        try:
            self.tunnel.dial(self.inner_port, timeout=5.0).close()
        except TransportError:
            return False
        return True


class ServerConnection(Connection):
    """One that leads to our own server, and has its client."""

    exec_client: ExecClient

    def __init__(self, host: str, door: Door, inner_port: int, *, token: str) -> None:
        from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient

        super().__init__(host, door, inner_port)
        self.exec_client = ExecClient(token=token, connect=lambda timeout: self.tunnel.dial(inner_port, timeout))
        self._token = token
        self._known_port: int | None = None

    @property
    def local_port(self) -> int:
        """Any client in this process may come by it: it is told the token."""
        port = self._known_port = super().local_port
        own_tokens.remember(port, self._token)
        return port

    def wait_ready(self, longest_sec: float, still_alive: Callable[[], None]) -> None:
        self.exec_client.wait_ready(longest_sec, still_alive)

    def is_well(self) -> bool:
        return self.exec_client.health()

    def close(self) -> None:
        self.exec_client.close()
        if self._known_port is not None:
            own_tokens.forget(self._known_port)
        super().close()

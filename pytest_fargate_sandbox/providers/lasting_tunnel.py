"""What the tunnels into a task have in common: local ports, and a connection that is replaced once it is found dead.

What was under way in it raises ``TransportError``, and the next ``dial`` connects again: one attempt at a time, whose
outcome all who wait for it share. Where the other side has ports that lead here, nobody may dial, so that the tunnel
connects again by itself.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.forwards import Forward
from pytest_fargate_sandbox.leaves.sockets import LOOPBACK, Listener
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.ssh.local_listener import LocalListener

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_HEALING_PAUSE = 5.0
SHORTEST_LIFE_SECONDS = 0.25
"""The tunnel's own pace, so that a server which lets us in and breaks off, again and again, keeps nobody busy."""

_log = logging.getLogger(__name__)


class Connected(Protocol):
    """A connection: once dead, it stays so."""

    @property
    def is_alive(self) -> bool: ...
    def answers(self, timeout: float) -> bool: ...
    def close(self) -> None: ...


C = TypeVar("C", bound=Connected)
S = TypeVar("S")


class LastingTunnel(ABC, Generic[C]):
    """Safe to use from many threads."""

    _reconnect_seconds: float

    def __init__(self, to: str, forward_port: int | None, local_port: int | None = None) -> None:
        """``to`` is what it is called in sentences."""
        self._to = to
        self._forward_port = forward_port
        self._local_port_override = local_port
        self._lock = threading.RLock()
        self._connection: C | None = None
        self._closed = threading.Event()
        self._last_failure: tuple[float, TransportError] | None = None
        self._listeners: dict[Forward, LocalListener] = {}

    # --- its life -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the tunnel and all that goes through it; no thread, port or socket is left."""
        self._closed.set()  # a thread that is connecting has the lock, and lets go of it when it sees this
        with self._lock:
            ends = self._taken_apart()
        for end in ends:
            end()

    def reconnect(self) -> None:
        """Replace the connection, whatever its state. Local ports stay, reverse ports are reclaimed."""
        with self._lock:
            if self._connection is None:
                raise self._not_open()
            self._connection.close()
            self._connect_again(self._reconnect_seconds)

    @property
    def is_open(self) -> bool:
        connection = self._connection
        return connection is not None and connection.is_alive

    def check_health(self, timeout: float = 5.0) -> bool:
        """Whether the other side answers now. Never raises, never reconnects."""
        connection = self._connection
        return connection is not None and connection.is_alive and connection.answers(timeout)

    # --- local ports ----------------------------------------------------------------------------------------------

    @property
    def local_port(self) -> int:
        """The local port that leads to ``forward_port``; opened when it is first asked for."""
        if self._forward_port is None:
            raise TransportError("this tunnel has no forward_port, so there is no local port to it")
        return self.expose(self._forward_port, self._local_port_override or 0)

    def expose(self, port: int, local_port: int = 0) -> int:
        """The local port that leads to ``port`` on the other side; asked for again, it is the same one."""
        with self._lock:
            if self._connection is None:
                raise self._not_open()
            return self._listen(Forward(Listener(LOOPBACK, local_port), LOOPBACK, port))

    def _listen(self, forward: Forward) -> int:
        """The local port of ``forward``, opened unless it is open. The caller holds the lock."""
        if forward not in self._listeners:
            try:
                sock = socket.create_server(forward.listener)
            except OSError as error:
                port = forward.listener.port
                raise TransportError(
                    f"cannot open local port {port}: {error.strerror}; choose another, or 0 for any", local_port=port
                ) from error

            def carry(accepted: socket.socket) -> None:
                self._carry(accepted, forward)

            self._listeners[forward] = LocalListener(sock, carry, f"local port of {self._to}")
        return self._listeners[forward].port

    # --- for those that build on it -------------------------------------------------------------------------------

    @abstractmethod
    def _connect_again(self, patience: float) -> C:
        """Another connection in place of the dead one. The caller holds the lock."""

    @abstractmethod
    def _carry(self, accepted: socket.socket, forward: Forward) -> None:
        """Lead somebody's connection to a local port to where ``forward`` says, in the listener's thread."""

    def _taken_apart(self) -> list[Callable[[], None]]:
        """What ends its parts, of which it has none any more. The caller holds the lock."""
        ends = [listener.close for listener in self._listeners.values()]
        if self._connection:
            ends.append(self._connection.close)
        self._listeners, self._connection = {}, None
        return ends

    def _asked(self, ask: Callable[[C], S], timeout: float) -> S:
        """What a living connection answers; once more where it was dead already, or broke: nothing was sent then."""
        end = time.monotonic() + timeout
        for pause in pauses(0.01, SHORTEST_LIFE_SECONDS):
            connection = self._live_connection(timeout)
            try:
                return ask(connection)
            except TransportError:
                if connection.is_alive or time.monotonic() + pause > end:
                    raise
            self._closed.wait(pause)
        raise AssertionError("unreachable: the pauses never end")

    def _live_connection(self, patience: float | None = None) -> C:
        connection = self._connection
        if connection is None:
            raise self._not_open()
        if connection.is_alive:
            return connection
        return self._replace(connection, self._reconnect_seconds if patience is None else patience)

    def _replace(self, dead: C, patience: float) -> C:
        """Connect again in place of ``dead``, unless somebody did, or failed to, while we waited for our turn."""
        asked = time.monotonic()
        with self._lock:
            if self._connection is None:
                raise self._not_open()
            if self._connection is not dead:
                return self._connection
            if self._last_failure and self._last_failure[0] > asked:
                raise TransportError(self._last_failure[1].message)
            dead.close()
            return self._connect_again(patience)

    def _has_failed(self, failure: TransportError) -> TransportError:
        """Those who wait for their turn are told the same."""
        self._last_failure = (time.monotonic(), failure)
        return failure

    def _heal(self, rest: float) -> None:
        """Until that has worked, or somebody else did it: nobody here may ask, and the other side cannot."""
        self._closed.wait(rest)
        for pause in pauses(SHORTEST_LIFE_SECONDS, _LONGEST_HEALING_PAUSE):
            if self._closed.is_set():
                return
            try:
                self._live_connection()
                return
            except TransportError as error:
                _log.info("%s", error)  # whoever dials is told
            self._closed.wait(pause)

    def _while(self, still_alive: Callable[[], None] | None) -> Callable[[], None]:
        """What raises where waiting for a connection is no use any more."""

        def may_go_on() -> None:
            self._stop_if_closed()
            if still_alive:
                still_alive()

        return may_go_on

    def _stop_if_closed(self) -> None:
        if self._closed.is_set():
            raise self._not_open()

    def _not_open(self) -> TransportError:
        return TransportError(f"the tunnel to {self._to} is not open: call open() first")

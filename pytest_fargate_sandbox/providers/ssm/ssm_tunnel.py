"""``SsmTunnel``: a way into a task that takes no connection from anybody, with the manners of an ``SshTunnel``.

Streams are opened on demand (``dial``); what breaks with a session raises ``TransportError``, and the next ``dial``
starts another session.
"""

from __future__ import annotations

import logging
import threading
import time
from itertools import count
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError, TransportError
from pytest_fargate_sandbox.leaves.forwards import Forward
from pytest_fargate_sandbox.leaves.waiting import NotYet, WaitTimeout, wait_until
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.lasting_tunnel import SHORTEST_LIFE_SECONDS, LastingTunnel
from pytest_fargate_sandbox.providers.ssm.bridge_framing import BridgeFraming, bridge_command
from pytest_fargate_sandbox.providers.ssm.port_framing import PortFraming
from pytest_fargate_sandbox.providers.ssm.server_delivery import NUMBER, deliver
from pytest_fargate_sandbox.providers.ssm.session_calls import (
    execute_command,
    is_denied,
    is_not_connected,
    start_session,
)
from pytest_fargate_sandbox.providers.ssm.session_carrier import KILLED, ServerAwaited, SessionCarrier
from pytest_fargate_sandbox.providers.ssm.ssm_session import SsmSession
from pytest_fargate_sandbox.providers.ssm.web_socket import need_library
from pytest_fargate_sandbox.server.awaited_server import DELIVERY
from pytest_fargate_sandbox.server.tunnel.lane import WINDOW
from pytest_fargate_sandbox.server.tunnel.records import MARK

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.providers.ssm.session_calls import StartedSession
    from pytest_fargate_sandbox.providers.ssm.tunnel_opening import TunnelOpening

_SESSION_SECONDS = 20.0
"""From its start until the other end of its tunnel answers."""
_AGENT_SECONDS = 5.0
"""An agent that was there and is not may be connecting again; one that was killed stays away for minutes."""
_LISTEN_SECONDS = 10.0

_MOST_SESSIONS = 4
"""Side by side: each is a process in the container, and of the little that there is of it they share the CPU."""

_BRIDGED = (
    "these credentials may not start a session (ssm:StartSession), only execute commands: the way in is a terminal, "
    "which carries less (docs/aws.md)"
)

_log = logging.getLogger(__name__)


class SsmTunnel(LastingTunnel[SsmSession]):
    """A tunnel to ``port`` of ``target``, where ``opening`` makes a connection a tunnel.

    While much goes through it, further sessions are started, and take their share. ``may_bridge``: a terminal will do
    where these credentials may start no session. ``server`` is the source of the one that is brought where none is yet.

    ``reverses`` are ports of the task's loopback that lead to a host and a port here (``"PORT:HOST:PORT"``).
    Safe to use from many threads.
    """

    _reconnect_seconds = 30.0

    def __init__(
        self,
        *,
        aws: Aws,
        target: str,
        port: int,
        opening: TunnelOpening,
        forward_port: int | None = None,
        reverses: Iterable[str] = (),
        may_bridge: bool = False,
        server: Callable[[], str] | None = None,
    ) -> None:
        super().__init__(target, forward_port)
        self._aws = aws
        self._target = target
        self._port = port
        self._opening = opening
        self._reverses = [Forward.parse(spec, "reverses", 1) for spec in reverses]
        self._seen = "nothing was tried yet"
        self._agent_was_away = False
        self._refusal: AwsError | None = None
        self._may_bridge = may_bridge
        self._server = server
        self._is_bridged = False
        self._numbers = count(1)
        self.on_window: Callable[[], None] = lambda: None
        """Called in a session's thread when ``window`` has become another."""

    # --- its life -------------------------------------------------------------------------------------------------

    def open(
        self,
        *,
        max_retries: int = 15,
        initial_backoff: float = 5.0,
        still_alive: Callable[[], None] | None = None,
    ) -> None:
        """Start a session, unless that has been done; wait for an agent and a server that aren't up yet.

        Raises ``AwsError`` where the session is refused for good. ``still_alive`` is called before each attempt; what
        it raises ends the wait.
        """
        need_library()
        with self._lock:
            if self.is_open:
                return
            self._closed.clear()
            self._start(max_retries * initial_backoff, initial_backoff, self._while(still_alive))

    def why_closed(self) -> str:
        """What the last attempt met, as a sentence."""
        return f"no session with the task: {self._seen}"

    # --- what goes through it -------------------------------------------------------------------------------------

    @property
    def window(self) -> int:
        """How much of one stream is to be under way from the task."""
        connection = self._connection
        return connection.window if connection else WINDOW

    def dial(self, port: int, timeout: float = 10.0) -> socket.socket:
        """A stream to a port of the task's loopback."""
        end = time.monotonic() + timeout

        def ask(session: SsmSession) -> socket.socket:
            return session.outer.dial(port, max(0.1, end - time.monotonic()))

        return self._asked(ask, timeout)

    def _carry(self, accepted: socket.socket, forward: Forward) -> None:
        try:
            self._live_connection().outer.carry(accepted, forward.host_port)
        except TransportError:
            accepted.close()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _connect_again(self, patience: float) -> SsmSession:
        try:
            return self._start(patience, 0.5, self._stop_if_closed, agent_patience=_AGENT_SECONDS)
        except AwsError as error:
            why = f"there is no SSM agent in the container any more; {KILLED}" if is_not_connected(error) else ""
            self._agent_was_away = bool(why)
            failure = TransportError(f"the session broke, and there is no other: {why or error.message}")
            raise self._has_failed(failure) from error

    def _start(
        self,
        patience: float,
        longest_pause: float,
        may_go_on: Callable[[], None],
        agent_patience: float = float("inf"),
    ) -> SsmSession:
        """The caller holds the lock. ``agent_patience`` is for an agent that is not connected."""
        agents_end = time.monotonic() + (0.0 if self._agent_was_away else agent_patience)

        def probe() -> SsmSession:
            may_go_on()
            try:
                return self._try()
            except AwsError as error:
                is_awaited = is_not_connected(error) and time.monotonic() < agents_end
                if error.gone or not (is_awaited or error.transient):
                    raise
                self._seen = error.told_briefly
            except TransportError as error:
                self._seen = error.message
            raise NotYet(self._seen)

        try:
            self._connection = wait_until(
                probe, deadline=patience, what=f"a session with {self._target}", longest_pause=longest_pause
            )
        except WaitTimeout as error:
            failure = TransportError(f"{error}. Is the task running, and does it reach the Session Manager?")
            raise self._has_failed(failure) from error
        self._agent_was_away = False
        return self._connection

    def _try(self) -> SsmSession:
        session = SsmSession(self._carrier(0), self._has_gone, self._has_load, lambda: self.on_window())
        try:
            session.open(_SESSION_SECONDS)
        except ServerAwaited:
            if self._server:
                deliver(self._carrier(NUMBER, DELIVERY), self._server(), _SESSION_SECONDS)
            raise
        try:
            for forward in self._reverses:
                session.outer.listen(forward.listener, (forward.host, forward.host_port), _LISTEN_SECONDS)
        except BaseException:
            session.close()
            raise
        return session

    def _carrier(self, number: int, opening: bytes = b"") -> SessionCarrier:
        """Not connected yet. Raises ``AwsError``."""
        started, framing = self._started(may_bridge=number == 0)
        greeting = MARK if number > 0 else b""
        return SessionCarrier(self._aws, started, framing, opening or self._opening.of(number), number, greeting)

    def _started(self, *, may_bridge: bool) -> tuple[StartedSession, PortFraming | BridgeFraming]:
        if not self._is_bridged:
            try:
                return start_session(self._aws, self._target, self._port), PortFraming()
            except AwsError as error:
                if not (may_bridge and is_denied(error) and self._may_bridge):
                    raise
                self._refusal = error
        return self._bridge(), BridgeFraming()

    def _bridge(self) -> StartedSession:
        """Where these credentials may execute commands, and nothing else. Raises the first refusal if not even that."""
        try:
            started = execute_command(self._aws, self._target, bridge_command(self._port))
        except AwsError as error:
            if is_denied(error) and self._refusal and not self._is_bridged:
                raise self._refusal from error
            raise
        if not self._is_bridged:
            self._is_bridged = True
            _log.warning("%s", _BRIDGED)
        return started

    def _has_load(self, session: SsmSession) -> None:
        try:
            threading.Thread(target=self._widen, args=(session,), name=f"widening {self._target}", daemon=True).start()
        except RuntimeError as error:
            _log.info("no further session with %s: %s", self._target, error)

    def _widen(self, session: SsmSession) -> None:
        for _ in range(1, _MOST_SESSIONS):
            if self._closed.is_set() or not session.is_alive:
                return
            try:
                carrier = self._carrier(next(self._numbers))
            except SandboxError as error:
                _log.info("no further session with %s: %s", self._target, error)
                return
            try:
                carrier.connect()
            except (SandboxError, OSError) as error:
                _log.info("no further session with %s: %s", self._target, error)
                carrier.close()
                return
            session.join(carrier)

    def _has_gone(self) -> None:
        if self._reverses and not self._closed.is_set():
            threading.Thread(
                target=self._heal, args=(SHORTEST_LIFE_SECONDS,), name=f"healing {self._target}", daemon=True
            ).start()

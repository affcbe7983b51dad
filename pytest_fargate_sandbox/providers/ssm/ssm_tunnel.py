"""``SsmTunnel``: a way into a task that takes no connection from anybody, with the manners of an ``SshTunnel``.

Streams are opened on demand (``dial``); what breaks with a session raises ``TransportError``, and the next ``dial``
starts another session. Where ports inside lead here, nobody here may dial, so the tunnel does that by itself.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.forwards import Forward
from pytest_fargate_sandbox.leaves.sockets import LOOPBACK
from pytest_fargate_sandbox.leaves.waiting import NotYet, WaitTimeout, pauses, wait_until
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.ssh.local_listener import LocalListener
from pytest_fargate_sandbox.providers.ssm.bridge_framing import BridgeFraming, bridge_command
from pytest_fargate_sandbox.providers.ssm.session_calls import (
    execute_command,
    is_denied,
    is_not_connected,
    start_session,
)
from pytest_fargate_sandbox.providers.ssm.ssm_session import KILLED, SsmSession
from pytest_fargate_sandbox.providers.ssm.web_socket import need_library

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_fargate_sandbox.providers.aws.aws import Aws

_SESSION_SECONDS = 20.0
"""From its start until the other end of its tunnel answers."""
_RECONNECT_SECONDS = 30.0
_AGENT_SECONDS = 5.0
"""An agent that was there and is not may be connecting again; one that was killed stays away for minutes."""
_LISTEN_SECONDS = 10.0
_LONGEST_HEALING_PAUSE = 5.0
_SHORTEST_LIFE_SECONDS = 0.25

_BRIDGED = (
    "these credentials may not start a session (ssm:StartSession), only execute commands: the way in is a terminal, "
    "which carries less (docs/aws.md)"
)

_log = logging.getLogger(__name__)


class SsmTunnel:
    """A tunnel to ``port`` of ``target``, where ``opening`` makes a connection a tunnel, if that takes anything.

    ``reverses`` are ports of the task's loopback that lead to a host and a port here (``"PORT:HOST:PORT"``).
    Safe to use from many threads.
    """

    def __init__(
        self,
        *,
        aws: Aws,
        target: str,
        port: int,
        opening: bytes = b"",
        forward_port: int | None = None,
        reverses: Iterable[str] = (),
    ) -> None:
        self._aws = aws
        self._target = target
        self._port = port
        self._opening = opening
        self._forward_port = forward_port
        self._reverses = [Forward.parse(spec, "reverses", 1) for spec in reverses]
        self._seen = "nothing was tried yet"
        self._lock = threading.RLock()
        self._session: SsmSession | None = None
        self._closed = threading.Event()
        self._agent_was_away = False
        self._refusal: AwsError | None = None
        self._is_bridged = False
        self._last_failure: tuple[float, TransportError] | None = None
        self._listeners: dict[int, LocalListener] = {}

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

        def may_go_on() -> None:
            self._stop_if_closed()
            if still_alive:
                still_alive()

        with self._lock:
            if self.is_open:
                return
            self._closed.clear()
            self._start(max_retries * initial_backoff, initial_backoff, may_go_on)

    def close(self) -> None:
        """End the tunnel and all that goes through it; no thread, port or socket is left."""
        self._closed.set()
        with self._lock:
            listeners, self._listeners = self._listeners, {}
            session, self._session = self._session, None
        for listener in listeners.values():
            listener.close()
        if session:
            session.close()

    def reconnect(self) -> None:
        """Have another session, whatever the state of this one. Local ports stay."""
        with self._lock:
            if self._session is None:
                raise self._not_open()
            self._session.close()
            self._start_again(_RECONNECT_SECONDS)

    @property
    def is_open(self) -> bool:
        session = self._session
        return session is not None and session.is_alive

    def why_closed(self) -> str:
        """What the last attempt met, as a sentence."""
        return f"no session with the task: {self._seen}"

    def check_health(self, timeout: float = 5.0) -> bool:
        """Whether the other end answers now. Never raises, never reconnects."""
        session = self._session
        return session is not None and session.is_alive and session.answers(timeout)

    # --- what goes through it -------------------------------------------------------------------------------------

    def dial(self, port: int, timeout: float = 10.0) -> socket.socket:
        """A stream to a port of the task's loopback."""
        end = time.monotonic() + timeout
        for pause in pauses(0.01, _SHORTEST_LIFE_SECONDS):
            session = self._live_session(timeout)
            try:
                return session.outer.dial(port, max(0.1, end - time.monotonic()))
            except TransportError:
                if session.is_alive or time.monotonic() + pause > end:
                    raise
            self._closed.wait(pause)
        raise AssertionError("unreachable: the pauses never end")

    @property
    def local_port(self) -> int:
        """The local port that leads to ``forward_port``; opened when it is first asked for."""
        if self._forward_port is None:
            raise TransportError("this tunnel has no forward_port, so there is no local port to it")
        return self.expose(self._forward_port)

    def expose(self, port: int, local_port: int = 0) -> int:
        """The local port that leads to ``port`` of the task's loopback; asked for again, it is the same one."""
        with self._lock:
            if self._session is None:
                raise self._not_open()
            if port not in self._listeners:
                sock = socket.create_server((LOOPBACK, local_port))
                self._listeners[port] = LocalListener(sock, partial(self._carry, port), f"local port of {self._target}")
            return self._listeners[port].port

    def _carry(self, port: int, accepted: socket.socket) -> None:
        try:
            self._live_session(_RECONNECT_SECONDS).outer.carry(accepted, port)
        except TransportError:
            accepted.close()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _live_session(self, patience: float) -> SsmSession:
        session = self._session
        if session is None:
            raise self._not_open()
        return session if session.is_alive else self._replace(session, patience)

    def _replace(self, dead: SsmSession, patience: float) -> SsmSession:
        """Another session in place of ``dead``, unless somebody did that, or failed to, while we waited our turn."""
        asked = time.monotonic()
        with self._lock:
            if self._session is None:
                raise self._not_open()
            if self._session is not dead:
                return self._session
            if self._last_failure and self._last_failure[0] > asked:
                raise TransportError(self._last_failure[1].message)
            return self._start_again(patience)

    def _start_again(self, patience: float) -> SsmSession:
        try:
            return self._start(patience, 0.5, self._stop_if_closed, agent_patience=_AGENT_SECONDS)
        except AwsError as error:
            why = f"there is no SSM agent in the container any more; {KILLED}" if is_not_connected(error) else ""
            failure = TransportError(f"the session broke, and there is no other: {why or error.message}")
            self._last_failure = (time.monotonic(), failure)
            self._agent_was_away = bool(why)
            raise failure from error

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
            self._session = wait_until(
                probe, deadline=patience, what=f"a session with {self._target}", longest_pause=longest_pause
            )
        except WaitTimeout as error:
            failure = TransportError(f"{error}. Is the task running, and does it reach the Session Manager?")
            self._last_failure = (time.monotonic(), failure)
            raise failure from error
        self._agent_was_away = False
        return self._session

    def _try(self) -> SsmSession:
        session = self._bridged() if self._is_bridged else self._forwarded()
        session.open(_SESSION_SECONDS)
        try:
            for forward in self._reverses:
                session.outer.listen(forward.listener, (forward.host, forward.host_port), _LISTEN_SECONDS)
        except BaseException:
            session.close()
            raise
        return session

    def _forwarded(self) -> SsmSession:
        try:
            started = start_session(self._aws, self._target, self._port)
        except AwsError as error:
            if not (is_denied(error) and self._opening):
                raise
            self._refusal = error
            return self._bridged()
        return SsmSession(self._aws, started, self._opening, self._has_gone)

    def _bridged(self) -> SsmSession:
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
        return SsmSession(self._aws, started, self._opening, self._has_gone, BridgeFraming())

    def _has_gone(self) -> None:
        if self._reverses and not self._closed.is_set():
            threading.Thread(target=self._heal, name=f"healing {self._target}", daemon=True).start()

    def _heal(self) -> None:
        """Until that has worked, or somebody else did it: nobody here may ask, and the other side cannot."""
        for pause in pauses(_SHORTEST_LIFE_SECONDS, _LONGEST_HEALING_PAUSE):
            if self._closed.wait(pause):
                return
            try:
                self._live_session(_RECONNECT_SECONDS)
                return
            except TransportError as error:
                _log.info("%s", error)  # whoever dials is told

    def _stop_if_closed(self) -> None:
        if self._closed.is_set():
            raise self._not_open()

    def _not_open(self) -> TransportError:
        return TransportError(f"the tunnel to {self._target} is not open: call open() first")

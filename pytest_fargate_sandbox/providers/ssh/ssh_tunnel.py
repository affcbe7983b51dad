"""``SshTunnel``: one SSH connection to a task, and everything that travels through it.

Streams are opened on demand (``dial``); a local port is opened only where somebody asks for one. When the
connection breaks, what was under way raises ``TransportError`` and the next ``dial`` connects again: one attempt at
a time, whose outcome all who wait for it share. Where the other side has ports that lead here, nobody may dial, so
the tunnel connects again by itself.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest_fargate_sandbox.providers.ssh.without_invoke  # noqa: F401 - before paramiko
from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.forwards import Forward
from pytest_fargate_sandbox.leaves.sockets import LOOPBACK, Listener
from pytest_fargate_sandbox.leaves.waiting import NotYet, WaitTimeout, pauses, wait_until
from pytest_fargate_sandbox.providers.ssh.local_listener import LocalListener
from pytest_fargate_sandbox.providers.ssh.ssh_connecting import connect_patiently
from pytest_fargate_sandbox.providers.ssh.ssh_connection import SshConnection, SshServer
from pytest_fargate_sandbox.providers.ssh.ssh_spec import private_key_of
from pytest_fargate_sandbox.providers.ssh.ssh_watch import DEAD_AFTER_SECONDS
from pytest_fargate_sandbox.providers.ssh.tunnel_relays import TunnelRelays
from pytest_fargate_sandbox.providers.ssh.tunnel_reverses import Reverses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    import paramiko

    from pytest_fargate_sandbox.providers.ssh.key_pairs import KeyPair
    from pytest_fargate_sandbox.providers.ssh.ssh_stream import ChannelStream

_PROBE_SECONDS = 5.0
_RECONNECT_SECONDS = 15.0
_LONGEST_HEALING_PAUSE = 5.0
_SHORTEST_LIFE_SECONDS = 0.25
"""The tunnel's own pace, so that a server which lets us in and breaks off, again and again, keeps nobody busy."""

_log = logging.getLogger(__name__)


class SshTunnel:
    """A tunnel to ``user@host:port``, built on paramiko.

    The key is a ``KeyPair``, its text or a paramiko key (``private_key``), or a file (``key_file``). ``host_key`` is
    the public key line of the server that has to answer. Without one, the server that answers first is remembered,
    and every later connection of this tunnel must meet the same.

    ``forward_port`` is a port on the other side's loopback that ``local_port`` leads to; ``forwards`` are further
    local ports, ``"LOCALPORT:HOST:PORT"``; ``reverses`` are ports opened on the other side's loopback that lead to a
    host and port on this side, ``"REMOTEPORT:HOST:PORT"``. Either may begin with another loopback address and a colon.

    A connection over which nothing comes for ``dead_after`` seconds, though the server is asked to answer, is broken,
    whatever TCP says. ``reach`` makes the connection to the server where its address is not to be used.
    Safe to use from many threads.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int = 2222,
        user: str = "root",
        key_file: str | Path | None = None,
        private_key: KeyPair | str | paramiko.PKey | None = None,
        host_key: str | None = None,
        forward_port: int | None = None,
        forwards: Iterable[str] | None = None,
        reverses: Iterable[str] | None = None,
        local_port_override: int | None = None,
        dead_after: float = DEAD_AFTER_SECONDS,
        reach: Callable[[float], socket.socket] | None = None,
    ) -> None:
        self._server = SshServer(host, port, user, private_key_of(key_file, private_key), host_key, dead_after, reach)
        self._forward_port = forward_port
        self._forwards = [Forward.parse(spec, "forwards") for spec in forwards or ()]
        self._reverses = Reverses(
            (Forward.parse(spec, "reverses", 1) for spec in reverses or ()), f"tunnel from {host}:{port}"
        )
        self._local_port_override = local_port_override
        self._lock = threading.RLock()
        self._connection: SshConnection | None = None
        self._closed = threading.Event()
        self._last_failure: tuple[float, TransportError] | None = None
        self._relays = TunnelRelays(f"tunnel to {host}:{port}")
        self._listeners: dict[Forward, LocalListener] = {}

    # --- its life -------------------------------------------------------------------------------------------------

    def open(
        self,
        *,
        max_retries: int = 15,
        initial_backoff: float = 5.0,
        still_alive: Callable[[], None] | None = None,
    ) -> None:
        """Connect, unless that has been done; wait for a server that isn't up yet.

        The pauses between attempts are short at first and grow to ``initial_backoff``; after ``max_retries`` times
        ``initial_backoff`` seconds in all it gives up. ``still_alive`` is called before each attempt; what it raises
        ends the wait.
        """
        with self._lock:
            if self.is_open:
                return
            if self._connection:
                self._connection.close()
            self._closed.clear()
            patience = max_retries * initial_backoff

            def may_go_on() -> None:
                self._stop_if_closed()
                if still_alive:
                    still_alive()

            self._connect(
                lambda: connect_patiently(
                    self._server, patience=patience, longest_pause=initial_backoff, may_go_on=may_go_on
                )
            )
            try:
                for forward in self._forwards:
                    self._listen(forward)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End the tunnel and all that goes through it; no thread, port or socket is left."""
        self._closed.set()  # a thread that is connecting has the lock, and lets go of it when it sees this
        with self._lock:
            listeners, self._listeners = self._listeners, {}
            relays, self._relays = self._relays, TunnelRelays(self._relays.name)
            connection, self._connection = self._connection, None
        for listener in listeners.values():
            listener.close()
        if connection:
            connection.close()
        self._reverses.end_connections()
        relays.close()

    def reconnect(self) -> None:
        """Replace the connection, whatever its state. Local ports stay, reverse ports are reclaimed."""
        with self._lock:
            if self._connection is None:
                raise self._not_open()
            self._connection.close()
            self._connect_again(_RECONNECT_SECONDS)

    @property
    def is_open(self) -> bool:
        connection = self._connection
        return connection is not None and connection.is_alive

    def __enter__(self) -> SshTunnel:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- what goes through it -------------------------------------------------------------------------------------

    def dial(self, port: int, timeout: float = 10.0, *, host: str = LOOPBACK) -> ChannelStream:
        """A stream to a port on the other side; it behaves like a connected socket."""
        end = time.monotonic() + timeout
        for pause in pauses(0.01, _SHORTEST_LIFE_SECONDS):
            connection = self._live_connection(timeout)
            try:
                return connection.open_stream(host, port, timeout)
            except TransportError:
                if connection.is_alive or time.monotonic() + pause > end:
                    raise
            # It was dead already and nobody had noticed, or broke just now. Nothing was sent: asking again is safe.
            self._closed.wait(pause)
        raise AssertionError("unreachable: the pauses never end")

    def request_reverse(self, remote_port: int, host: str, port: int) -> int:
        """Open a port on the other side's loopback (0: any free one) that leads to ``host:port`` here; which it is."""
        with self._lock:
            return self._reverses.add(self._live_connection(), Forward(Listener(LOOPBACK, remote_port), host, port))

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

    # --- is it well? ----------------------------------------------------------------------------------------------

    def check_health(self, timeout: float = 5.0) -> bool:
        """Whether the other side answers now. Never raises, never reconnects."""
        connection = self._connection
        return connection is not None and connection.is_alive and connection.answers(timeout)

    def wait_ready(self, *, health_url: str | None = None, timeout: float = 120.0) -> None:
        """Wait until ``health_url`` answers with a success; without one, until ``forward_port`` takes a connection."""
        if self._connection is None:
            raise self._not_open()
        end = time.monotonic() + timeout

        def probe() -> bool:
            left = max(0.1, min(_PROBE_SECONDS, end - time.monotonic()))
            if health_url:
                _expect_success(health_url, left)
            elif self._forward_port is not None:
                _expect_stream(self, self._forward_port, left)
            elif not self.check_health(left):
                raise NotYet("no answer over SSH")
            return True

        who = health_url or (f"port {self._forward_port}" if self._forward_port else "the SSH server")
        what = f"an answer of {who} through {self._server}"
        try:
            wait_until(probe, deadline=timeout, what=what)
        except WaitTimeout as error:
            raise TransportError(str(error)) from error

    # --- inside ---------------------------------------------------------------------------------------------------

    def _live_connection(self, patience: float = _RECONNECT_SECONDS) -> SshConnection:
        connection = self._connection
        if connection is None:
            raise self._not_open()
        if connection.is_alive:
            return connection
        return self._replace(connection, patience)

    def _replace(self, dead: SshConnection, patience: float) -> SshConnection:
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

    def _connect_again(self, patience: float) -> SshConnection:
        return self._connect(
            lambda: connect_patiently(self._server, patience=patience, may_go_on=self._stop_if_closed, again=True)
        )

    def _connect(self, connect: Callable[[], SshConnection]) -> SshConnection:
        """Take the connection that ``connect`` makes and set up the reverse ports. The caller holds the lock."""
        try:
            connection = connect()
            self._pin_host_key(connection)
            try:
                self._reverses.open_all(connection, self._relays.run)
            except BaseException:
                connection.close()
                raise
        except TransportError as error:
            self._last_failure = (time.monotonic(), error)
            raise
        self._connection = connection
        connection.when_gone(lambda: self._has_gone(connection))
        return connection

    def _has_gone(self, connection: SshConnection) -> None:
        if self._reverses and not self._closed.is_set():
            self._relays.run(lambda: self._heal(connection))

    def _heal(self, dead: SshConnection) -> None:
        """Until that has worked, or somebody else did it: nobody here may ask, and the other side cannot."""
        self._closed.wait(max(0.0, _SHORTEST_LIFE_SECONDS - dead.age))
        for pause in pauses(_SHORTEST_LIFE_SECONDS, _LONGEST_HEALING_PAUSE):
            try:
                self._replace(dead, _RECONNECT_SECONDS)
                return
            except TransportError as error:
                _log.info("%s", error)  # whoever dials is told
            if self._closed.wait(pause):
                return

    def _pin_host_key(self, connection: SshConnection) -> None:
        if self._server.host_key is None:
            self._server = self._server.with_host_key(connection.host_key)

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
                self._relays.carry_to(accepted, lambda: self.dial(forward.host_port, host=forward.host))

            self._listeners[forward] = LocalListener(sock, carry, f"local port of {self._server}")
        return self._listeners[forward].port

    def _stop_if_closed(self) -> None:
        if self._closed.is_set():
            raise self._not_open()

    def _not_open(self) -> TransportError:
        return TransportError(f"the tunnel to {self._server} is not open: call open() first")


def _expect_success(url: str, timeout: float) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy knows nothing of our loopback
    try:
        with opener.open(url, timeout=timeout):
            pass
    except (OSError, ValueError) as error:  # urllib's own errors are OSErrors
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the answer as well, with a socket below
        raise NotYet(str(error)) from error


def _expect_stream(tunnel: SshTunnel, port: int, timeout: float) -> None:
    try:
        tunnel.dial(port, timeout).close()
    except TransportError as error:
        raise NotYet(error.message) from error

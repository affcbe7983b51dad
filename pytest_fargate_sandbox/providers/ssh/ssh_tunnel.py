"""``SshTunnel``: one SSH connection to a task, and everything that travels through it.

Streams are opened on demand (``dial``); a local port is opened only where somebody asks for one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest_fargate_sandbox.providers.ssh.without_invoke  # noqa: F401 - before paramiko
from pytest_fargate_sandbox.leaves.call_arguments import check_list, check_name, check_port, check_seconds, check_whole
from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.forwards import Forward
from pytest_fargate_sandbox.leaves.sockets import LOOPBACK, Listener
from pytest_fargate_sandbox.leaves.waiting import NotYet, WaitTimeout, wait_until
from pytest_fargate_sandbox.providers.lasting_tunnel import SHORTEST_LIFE_SECONDS, LastingTunnel
from pytest_fargate_sandbox.providers.ssh.health_answer import expect_success
from pytest_fargate_sandbox.providers.ssh.ssh_connecting import connect_patiently
from pytest_fargate_sandbox.providers.ssh.ssh_connection import SshConnection, SshServer
from pytest_fargate_sandbox.providers.ssh.ssh_spec import private_key_of
from pytest_fargate_sandbox.providers.ssh.ssh_watch import DEAD_AFTER_SECONDS
from pytest_fargate_sandbox.providers.ssh.tunnel_relays import TunnelRelays
from pytest_fargate_sandbox.providers.ssh.tunnel_reverses import Reverses

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from types import TracebackType

    import paramiko

    from pytest_fargate_sandbox.providers.ssh.key_pairs import KeyPair
    from pytest_fargate_sandbox.providers.ssh.ssh_stream import ChannelStream

_PROBE_SECONDS = 5.0


class SshTunnel(LastingTunnel[SshConnection]):
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

    _reconnect_seconds = 15.0

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
        check_name("host", host, blank=False)
        check_port("port", port)
        check_name("user", user, blank=False)
        for word, given, least in (("forward_port", forward_port, 1), ("local_port_override", local_port_override, 0)):
            if given is not None:
                check_port(word, given, least)
        check_list("forwards", forwards or ())
        check_list("reverses", reverses or ())
        self._server = SshServer(host, port, user, private_key_of(key_file, private_key), host_key, dead_after, reach)
        super().__init__(str(self._server), forward_port, local_port_override)
        self._forwards = [Forward.parse(spec, "forwards") for spec in forwards or ()]
        self._reverses = Reverses(
            (Forward.parse(spec, "reverses", 1) for spec in reverses or ()), f"tunnel from {host}:{port}"
        )
        self._relays = TunnelRelays(f"tunnel to {host}:{port}")

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
        check_whole("max_retries", max_retries)
        check_seconds("initial_backoff", initial_backoff)
        with self._lock:
            if self.is_open:
                return
            if self._connection:
                self._connection.close()
            self._closed.clear()
            patience = max_retries * initial_backoff
            may_go_on = self._while(still_alive)
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
        return self._asked(lambda connection: connection.open_stream(host, port, timeout), timeout)

    def request_reverse(self, remote_port: int, host: str, port: int) -> int:
        """Open a port on the other side's loopback (0: any free one) that leads to ``host:port`` here; which it is."""
        with self._lock:
            return self._reverses.add(self._live_connection(), Forward(Listener(LOOPBACK, remote_port), host, port))

    # --- is it well? ----------------------------------------------------------------------------------------------

    def wait_ready(self, *, health_url: str | None = None, timeout: float = 120.0) -> None:
        """Wait until ``health_url`` answers with a success; without one, until ``forward_port`` takes a connection."""
        if self._connection is None:
            raise self._not_open()
        end = time.monotonic() + timeout

        def probe() -> bool:
            left = max(0.1, min(_PROBE_SECONDS, end - time.monotonic()))
            if health_url:
                expect_success(health_url, left)
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
            self._has_failed(error)
            raise
        self._connection = connection
        connection.when_gone(lambda: self._has_gone(connection))
        return connection

    def _has_gone(self, connection: SshConnection) -> None:
        if self._reverses and not self._closed.is_set():
            self._relays.run(lambda: self._heal(max(0.0, SHORTEST_LIFE_SECONDS - connection.age)))

    def _pin_host_key(self, connection: SshConnection) -> None:
        if self._server.host_key is None:
            self._server = self._server.with_host_key(connection.host_key)

    def _carry(self, accepted: socket.socket, forward: Forward) -> None:
        self._relays.carry_to(accepted, lambda: self.dial(forward.host_port, host=forward.host))

    def _taken_apart(self) -> list[Callable[[], None]]:
        relays, self._relays = self._relays, TunnelRelays(self._relays.name)
        return [*super()._taken_apart(), self._reverses.end_connections, relays.close]


def _expect_stream(tunnel: SshTunnel, port: int, timeout: float) -> None:
    try:
        tunnel.dial(port, timeout).close()
    except TransportError as error:
        raise NotYet(error.message) from error

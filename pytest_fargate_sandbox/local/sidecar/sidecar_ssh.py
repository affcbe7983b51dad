"""The SSH half of the engine's own sidecar: what the AWS sidecar's sshd may do, and no more.

One key is let in. Streams lead to 127.0.0.1 and listeners stand on 127.0.0.1; there is no shell, no command, no
terminal, no agent. paramiko's server side does the protocol.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401  socket looks it up by name, and after pivot_root it may be out of reach
import itertools
import socket
import threading
from typing import TYPE_CHECKING

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_FAILED_CONNECT_FAILED,
    OPEN_SUCCEEDED,
)

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.providers.ssh.ssh_connection import LOOPBACK
from pytest_fargate_sandbox.providers.ssh.ssh_stream import BROKEN, ChannelStream
from pytest_fargate_sandbox.providers.ssh.ssh_transport import Transport, tune_socket
from pytest_fargate_sandbox.providers.ssh.tunnel_relays import TunnelRelays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.local.sidecar.reverse_ports import ReversePorts

_LOOPBACK_NAMES = ("127.0.0.1", "localhost")
_CONNECT_SECONDS = 1.0


class Session:
    """One client's connection, from its first byte to the end of all that goes through it."""

    def __init__(self, sock: socket.socket, host_key: paramiko.PKey, authorized_key: str, ports: ReversePorts) -> None:
        tune_socket(sock)
        self._relays = TunnelRelays("session")
        self._ports = ports
        self._transport = Transport(sock)
        self._transport.add_server_key(host_key)
        self._server = _Server(authorized_key, self._open_port, self._close_port)
        self._transport.start_server(threading.Event(), self._server)
        self._thread = threading.Thread(target=self._serve, name="session", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._transport.is_active()

    @property
    def has_logged_in(self) -> bool:
        return self._transport.is_authenticated()

    def close(self) -> None:
        self._ports.close_all_of(self)
        self._transport.end()
        self._server.close()
        self._relays.close()

    def _serve(self) -> None:
        while self._transport.is_active():
            channel = self._transport.accept(1.0)
            sock = self._server.take_connected(channel.get_id()) if channel else None
            if channel and sock:
                self._relays.carry(sock, ChannelStream(channel, "client", lambda: None))
        self.close()

    def _open_port(self, port: int) -> int:
        return self._ports.open(self, port, self._carry_back)

    def _close_port(self, port: int) -> None:
        self._ports.close(self, port)

    def _carry_back(self, sock: socket.socket, port: int) -> None:
        def open_stream() -> ChannelStream:
            try:
                channel = self._transport.open_channel(
                    "forwarded-tcpip", (LOOPBACK, port), sock.getpeername()[:2], timeout=10.0
                )
            except BROKEN as error:
                raise TransportError(f"the client does not take the connection: {error}") from error
            return ChannelStream(channel, "client", lambda: None)

        self._relays.carry_to(sock, open_stream)


class _Server(paramiko.ServerInterface):
    """What a client may ask for. Everything that isn't here paramiko refuses by itself."""

    def __init__(self, authorized_key: str, open_port: Callable[[int], int], close_port: Callable[[int], None]) -> None:
        self._authorized_keys = set(_keys_in(authorized_key))
        self._open_port = open_port
        self._close_port = close_port
        self._connected: dict[int, socket.socket] = {}

    def close(self) -> None:
        """Drop connections that no channel came for: their client left in between."""
        while self._connected:
            self._connected.popitem()[1].close()

    def take_connected(self, channel_id: int) -> socket.socket | None:
        return self._connected.pop(channel_id, None)

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:  # noqa: ARG002
        known = (key.get_name(), key.get_base64()) in self._authorized_keys
        return AUTH_SUCCESSFUL if known else AUTH_FAILED

    def check_channel_direct_tcpip_request(
        self,
        chanid: int,
        origin: tuple[str, int],  # noqa: ARG002
        destination: tuple[str, int],
    ) -> int:
        """Connects before it answers, so that the client hears of a port where nothing listens."""
        host, port = destination
        if host not in _LOOPBACK_NAMES:
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        try:
            sock = socket.create_connection((LOOPBACK, port), timeout=_CONNECT_SECONDS)
        except (OSError, OverflowError):
            return OPEN_FAILED_CONNECT_FAILED
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connected[chanid] = sock
        return OPEN_SUCCEEDED

    def check_port_forward_request(self, address: str, port: int) -> int | bool:
        if address not in _LOOPBACK_NAMES:
            return False
        try:
            return self._open_port(port)
        except (OSError, OverflowError):
            return False

    def cancel_port_forward_request(self, address: str, port: int) -> None:  # noqa: ARG002
        self._close_port(port)


def _keys_in(authorized_keys: str) -> Iterator[tuple[str, str]]:
    """Type and key of each line; a secret may hold several, with options before and comments behind."""
    for line in authorized_keys.splitlines():
        for kind, key in itertools.pairwise(line.split()):
            if kind.startswith(("ssh-", "ecdsa-")):
                yield kind, key
                break

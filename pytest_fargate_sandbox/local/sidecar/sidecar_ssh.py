"""The SSH half of the engine's own sidecar: what the AWS sidecar's sshd may do, and no more.

One key is let in. Streams lead to 127.0.0.1 and listeners stand on loopback; there is no shell, no command, no
terminal, no agent. paramiko's server side does the protocol.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401  socket looks it up by name, and after pivot_root it may be out of reach
import itertools
import threading
from typing import TYPE_CHECKING

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
)

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.sockets import LOOPBACK, LOOPBACKS, Listener
from pytest_fargate_sandbox.providers.ssh.ssh_stream import BROKEN, ChannelStream
from pytest_fargate_sandbox.providers.ssh.ssh_transport import Transport, tune_socket
from pytest_fargate_sandbox.providers.ssh.tunnel_relays import TunnelRelays

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.local.sidecar.reverse_ports import ReversePorts
    from pytest_fargate_sandbox.providers.ssh.ssh_knock import Knock

_LOOPBACK_NAMES = ("127.0.0.1", "localhost")


class Session:
    """One client's connection, from its first byte to the end of all that goes through it."""

    def __init__(self, sock: socket.socket, host_key: paramiko.PKey, authorized_key: str, ports: ReversePorts) -> None:
        tune_socket(sock)
        self._relays = TunnelRelays("session")
        self._callers = TunnelRelays("session")
        """From inside, apart: a crowd of them is not to shut the client out."""
        self._ports = ports
        self._transport = Transport(sock)
        self._transport.add_server_key(host_key)
        self._server = _Server(authorized_key, self._open_port, self._close_port)
        self._transport.on_knock = self._lead
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
        self._relays.close()
        self._callers.close()

    def _serve(self) -> None:
        self._transport.join()
        self.close()

    def _lead(self, knock: Knock) -> None:
        """To a port of the task's loopback, and nowhere else."""
        if knock.host in _LOOPBACK_NAMES:
            self._relays.connect((LOOPBACK, knock.port), knock)
        else:
            knock.refuse(OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)

    def _open_port(self, at: Listener) -> int:
        return self._ports.open(self, at, self._carry_back)

    def _close_port(self, at: Listener) -> None:
        self._ports.close(self, at)

    def _carry_back(self, sock: socket.socket, at: Listener) -> None:
        def open_stream() -> ChannelStream:
            try:
                channel = self._transport.open_channel("forwarded-tcpip", at, sock.getpeername()[:2], timeout=10.0)
            except BROKEN as error:
                raise TransportError(f"the client does not take the connection: {error}") from error
            return ChannelStream(channel, "client", lambda: None)

        self._callers.carry_to(sock, open_stream)


class _Server(paramiko.ServerInterface):
    """What a client may ask for. Everything that isn't here paramiko refuses by itself."""

    def __init__(
        self, authorized_key: str, open_port: Callable[[Listener], int], close_port: Callable[[Listener], None]
    ) -> None:
        self._authorized_keys = set(_keys_in(authorized_key))
        self._open_port = open_port
        self._close_port = close_port

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:  # noqa: ARG002
        known = (key.get_name(), key.get_base64()) in self._authorized_keys
        return AUTH_SUCCESSFUL if known else AUTH_FAILED

    def check_port_forward_request(self, address: str, port: int) -> int | bool:
        if address not in LOOPBACKS:
            return False
        try:
            return self._open_port(Listener(address, port))
        except (OSError, OverflowError):
            return False

    def cancel_port_forward_request(self, address: str, port: int) -> None:
        self._close_port(Listener(address, port))


def _keys_in(authorized_keys: str) -> Iterator[tuple[str, str]]:
    """Type and key of each line; a secret may hold several, with options before and comments behind."""
    for line in authorized_keys.splitlines():
        for kind, key in itertools.pairwise(line.split()):
            if kind.startswith(("ssh-", "ecdsa-")):
                yield kind, key
                break

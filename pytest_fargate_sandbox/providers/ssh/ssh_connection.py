"""One SSH connection, and the only place where paramiko's errors become ours.

Everything above asks a connection for streams and listeners and never meets paramiko.
"""

from __future__ import annotations

import io
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import paramiko

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.sockets import LOOPBACK, Listener
from pytest_fargate_sandbox.providers.ssh.ssh_knock import Knock
from pytest_fargate_sandbox.providers.ssh.ssh_stream import BROKEN, ChannelStream
from pytest_fargate_sandbox.providers.ssh.ssh_transport import Transport, tune_socket
from pytest_fargate_sandbox.providers.ssh.ssh_watch import DEAD_AFTER_SECONDS, Watch
from pytest_fargate_sandbox.providers.ssh.uninterrupted import Hands

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.ssh.key_pairs import KeyPair

OnForwarded = Callable[[Knock], None]
"""Called in the connection's one thread with who connected to a remote port: it must not block."""

_KEY_CLASSES: dict[str, type[paramiko.Ed25519Key | paramiko.RSAKey | paramiko.ECDSAKey]] = {
    "ssh-ed25519": paramiko.Ed25519Key,
    "ssh-rsa": paramiko.RSAKey,
}


_NARROW_WINDOW = 1 << 16
"""Of each stream, on a way that carries little: what has been sent of one is what all others wait behind."""


class Unreachable(TransportError):
    """Nothing that speaks SSH answers there: it may not be up yet, so trying again can help."""


class Refused(Unreachable):
    """The machine is there and nobody listens: before the sidecar is up, or after the task's end."""


@dataclass(frozen=True)
class SshServer:
    """Where to connect, as whom, and who has to answer there."""

    host: str
    port: int
    user: str
    private_key: paramiko.PKey
    host_key: str | None
    """The expected public key as one line; None takes whoever answers first."""
    dead_after: float = DEAD_AFTER_SECONDS
    """A connection over which nothing comes for that long, though we ask, is given up."""
    reach: Callable[[float], socket.socket] | None = None
    """What leads there, where its address does not."""

    def with_host_key(self, line: str) -> SshServer:
        return replace(self, host_key=line)

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


def usable_key(pair: KeyPair) -> paramiko.PKey:
    """``pair`` as paramiko wants it."""
    kind = _KEY_CLASSES.get(pair.public.split()[0], paramiko.ECDSAKey)
    return kind.from_private_key(io.StringIO(pair.private))


def host_key_words(line: str) -> tuple[str, str]:
    """Type and key of a public key line; what follows them is a comment."""
    kind, key = line.split()[:2]
    return kind, key


def _reached(server: SshServer, timeout: float) -> socket.socket:
    if server.reach is not None:
        return server.reach(timeout)
    return socket.create_connection((server.host, server.port), timeout=timeout)


class SshConnection:
    """An authenticated connection to an ``SshServer`` whose host key was checked."""

    def __init__(self, server: SshServer, transport: Transport, hands: Hands) -> None:
        self.server = server
        self._transport = transport
        self._hands = hands
        self._on_forwarded: dict[Listener, OnForwarded] = {}
        self._was_silent = False
        self._began = time.monotonic()
        transport.on_knock = self._take_knock
        self._watch = Watch(transport, server.dead_after, self._give_up, f"watch over the tunnel to {server}")

    @classmethod
    def connect(cls, server: SshServer, timeout: float) -> SshConnection:
        """Raise ``Unreachable`` where trying again can help, ``TransportError`` where it cannot."""
        hands = Hands(f"hand of the tunnel to {server}")
        try:
            return hands.do(lambda: cls._connected(server, timeout, hands), undo=cls.close)
        except BaseException:
            hands.end()
            raise

    @classmethod
    def _connected(cls, server: SshServer, timeout: float, hands: Hands) -> SshConnection:
        try:
            sock = _reached(server, timeout)
        except ConnectionRefusedError as error:
            raise Refused(f"{server}: {error.strerror}") from error
        except OSError as error:
            raise Unreachable(f"{server}: {error.strerror or error}") from error
        try:
            if server.reach is None:
                tune_socket(sock)
            transport = Transport(sock)
            if server.reach is not None:
                transport.default_window_size = _NARROW_WINDOW
        except OSError as error:
            sock.close()
            raise Unreachable(f"{server}: {error}") from error
        try:
            _negotiate(server, transport, timeout)
        except BaseException:
            transport.end()
            raise
        return cls(server, transport, hands)

    @property
    def is_alive(self) -> bool:
        return self._transport.is_active()

    @property
    def age(self) -> float:
        return time.monotonic() - self._began

    @property
    def host_key(self) -> str:
        """The key of the server that answered, as one line."""
        key = self._transport.get_remote_server_key()
        return f"{key.get_name()} {key.get_base64()}"

    def open_stream(self, host: str, port: int, timeout: float) -> ChannelStream:
        """A stream to ``host:port`` as the server sees it."""
        return self._hands.do(lambda: self._opened_stream(host, port, timeout), undo=ChannelStream.close)

    def _opened_stream(self, host: str, port: int, timeout: float) -> ChannelStream:
        try:
            channel = self._transport.open_channel("direct-tcpip", (host, port), (LOOPBACK, 0), timeout=timeout)
        except BROKEN as error:
            if not isinstance(error, paramiko.SSHException):
                self.close()  # the socket broke; the transport's own thread may not have seen it yet
            raise self._stream_error(f"{host}:{port}", error) from error
        return ChannelStream(channel, f"{host}:{port} behind {self.server}", self._why_dead, self._hands)

    def have_under_way(self, size: int) -> None:
        """So much of each stream to here, from now on."""
        self._hands.do(lambda: self._transport.have_under_way(size))

    def listen(self, at: Listener, on_forwarded: OnForwarded) -> Callable[[], int]:
        """Ask the server to listen there; what is returned waits for its answer: which port it is, if any would do."""
        # Known before the request: a client may connect to the new port before its answer was read here.
        self._on_forwarded[at] = on_forwarded
        try:
            reply = self._hands.do(lambda: self._transport.request("tcpip-forward", *at))
        except BROKEN as error:
            raise self._does_not_listen(at, str(error)) from error

        def answer() -> int:
            try:
                message = self._hands.do(reply.result)
            except BROKEN as error:
                raise self._does_not_listen(at, str(error)) from error
            if message is None:
                raise self._does_not_listen(at, "it refuses")
            opened = Listener(at.address, at.port or message.get_int())
            self._on_forwarded[opened] = on_forwarded
            return opened.port

        return answer

    def _does_not_listen(self, at: Listener, why: str) -> TransportError:
        return TransportError(
            f"{self.server} does not listen on port {at.port} for us: {why}; a process there has the port, or an "
            "earlier connection of ours that the server still believes alive",
            remote_port=at.port,
        )

    def _take_knock(self, knock: Knock) -> None:
        knock.name, knock.why_dead = f"port {knock.port} of {self.server}", self._why_dead
        for at in (Listener(knock.host, knock.port), Listener(LOOPBACK, knock.port), Listener(LOOPBACK, 0)):
            if on_forwarded := self._on_forwarded.get(at):
                on_forwarded(knock)
                return
        knock.refuse()

    def answers(self, timeout: float) -> bool:
        """Whether the server still reacts. It may refuse the session that we ask for: that is an answer too."""
        return self._hands.do(lambda: self._answers(timeout))

    def _answers(self, timeout: float) -> bool:
        try:
            self._transport.open_session(timeout=timeout).close()
        except paramiko.ChannelException:
            return True
        except BROKEN:
            return False
        return True

    def when_gone(self, act: Callable[[], None]) -> None:
        """Have ``act`` called, in a thread that must not be kept, when the connection has broken; at once if it has."""
        self._transport.when_over = act
        if not self.is_alive:
            act()

    def close(self) -> None:
        self._hands.do(self._close)
        self._hands.end()

    def _close(self) -> None:
        self._transport.when_over = None
        self._transport.end()
        self._watch.end()

    def _give_up(self) -> None:
        """End it under all who wait: each of them finds its stream broken, and the next stream connects again."""
        self._was_silent = True
        self._transport.end()

    def _why_dead(self) -> str | None:
        if self._was_silent:
            return f"nothing came from {self.server} for {self.server.dead_after:.0f} s, though we asked"
        if self._transport.is_active():
            return None
        return f"the SSH connection to {self.server} is gone"

    def _stream_error(self, where: str, error: Exception) -> TransportError:
        dead = self._why_dead()
        if dead:
            return TransportError(f"cannot reach {where}: {dead}", where=where)
        if isinstance(error, paramiko.ChannelException):
            return TransportError(f"nothing answers at {where} behind {self.server}: {error.text}", where=where)
        return TransportError(f"cannot reach {where} through {self.server}: {error}", where=where)


def _negotiate(server: SshServer, transport: Transport, timeout: float) -> None:
    if server.host_key:
        # Ask for that very type, or a server with several keys would show another one.
        transport.get_security_options().key_types = (host_key_words(server.host_key)[0],)
    transport.auth_timeout = timeout = max(timeout, 1.0)
    try:
        transport.start_client(timeout=timeout)
    except BROKEN as error:
        raise Unreachable(f"{server}: {str(error) or 'closed the connection before it said anything'}") from error
    if not transport.initial_kex_done:  # start_client returns as if all were well
        raise Unreachable(f"{server}: took the connection and then said nothing for {timeout:.0f} s")
    _check_host_key(server, transport)
    try:
        transport.auth_publickey(server.user, server.private_key)
    except paramiko.AuthenticationException as error:
        # paramiko takes a connection that ends here for a refusal, and one that falls silent (auth_handler.py,
        # ``wait_for_response``, which has nothing but these words to tell it by).
        if str(error) == "Authentication timeout.":
            raise Unreachable(f"{server}: said nothing for {timeout:.0f} s during the log-in") from error
        if not transport.is_active():
            raise Unreachable(f"{server}: closed the connection during the log-in") from error
        raise TransportError(
            f"{server} refuses our key ({error}); is it the one that the task was started with?", host=server.host
        ) from error
    except BROKEN as error:
        raise Unreachable(f"{server}: {str(error) or 'closed the connection during the log-in'}") from error


def _check_host_key(server: SshServer, transport: Transport) -> None:
    if server.host_key is None:
        return
    shown = transport.get_remote_server_key()
    if (shown.get_name(), shown.get_base64()) != host_key_words(server.host_key):
        raise TransportError(
            f"the host key of {server.host}:{server.port} is {shown.get_name()} {shown.fingerprint}, not the expected "
            "one: somebody else answers at that address, so nothing was sent",
            host=server.host,
            port=server.port,
        )

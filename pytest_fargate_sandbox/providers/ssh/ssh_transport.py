"""paramiko's transport as it is used here: fast, with an end that is an end, and a question that has to be answered."""

from __future__ import annotations

import array
import collections
import contextlib
import fcntl
import logging
import socket
import termios
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

import paramiko
from paramiko.common import cMSG_CHANNEL_CLOSE, cMSG_GLOBAL_REQUEST
from paramiko.packet import Packetizer

from pytest_fargate_sandbox.providers.ssh.ssh_answering import AnsweringTransport, takes_bytes
from pytest_fargate_sandbox.providers.ssh.ssh_channels import Channels
from pytest_fargate_sandbox.providers.ssh.ssh_knock import Knock
from pytest_fargate_sandbox.providers.ssh.ssh_stream import BROKEN

if TYPE_CHECKING:
    from collections.abc import Callable

LOG_CHANNEL = "pytest_fargate_sandbox.ssh"

_HANDSHAKE_SECONDS = 15.0

_CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
"""AES-GCM first: it is about twice as fast as paramiko's own first choice, and has to be asked for."""

_KEY_EXCHANGES = ("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "diffie-hellman-group16-sha512")

_log = logging.getLogger(LOG_CHANNEL)
_log.addHandler(logging.NullHandler())
if _log.level == logging.NOTSET:
    # paramiko logs each refused connection as an error with a traceback; while a task boots that is what we expect.
    _log.setLevel(logging.CRITICAL)


def prefer_fast_algorithms(transport: paramiko.Transport) -> None:
    """For either end of a connection."""
    options = transport.get_security_options()
    options.ciphers = _CIPHERS
    options.kex = tuple(name for name in _KEY_EXCHANGES if name in options.kex)


def tune_socket(sock: socket.socket, dead_after: int = 30) -> None:
    """No waiting for full packets, and a peer that has gone away silently is noticed by the kernel, without a thread.

    Without TCP_NODELAY each small command waits for the other side's delayed acknowledgement.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", dead_after // 3),
        ("TCP_KEEPINTVL", dead_after // 6),
        ("TCP_KEEPCNT", 4),
        ("TCP_USER_TIMEOUT", dead_after * 1000),
    ):
        if hasattr(socket, option):  # macOS lacks some of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


class _Packetizer(Packetizer):
    """With OpenSSH's limits for AES: new keys after 64 GiB.

    paramiko asks for them after 512 MiB, in the middle of a transfer; a channel that ends just then blocks its thread
    for 30 s and costs us the connection.
    """

    REKEY_BYTES = REKEY_BYTES_OVERFLOW_MAX = 1 << 36
    REKEY_PACKETS = REKEY_PACKETS_OVERFLOW_MAX = 1 << 31

    messages = 0
    """How many have come so far."""

    def read_message(self) -> tuple[int, paramiko.Message]:
        message: tuple[int, paramiko.Message] = super().read_message()
        self.messages += 1
        return message


class Transport(AnsweringTransport):
    """paramiko's transport whose end is an end: sockets, timer and thread are gone when ``end`` returns."""

    packetizer: _Packetizer
    sock: socket.socket
    _active_check_timeout = 1.0  # not ten looks a second whether we were closed: ``end`` wakes the thread

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, packetizer_class=_Packetizer)
        self._channels = Channels(self)
        self.set_log_channel(LOG_CHANNEL)
        self.banner_timeout = self.handshake_timeout = self.auth_timeout = _HANDSHAKE_SECONDS
        prefer_fast_algorithms(self)
        self._request_order = threading.Lock()
        self._replies: collections.deque[Future[paramiko.Message | None]] = collections.deque()
        """One for each global request whose reply is still to come: replies have no number, only their order."""
        self.when_over: Callable[[], None] | None = None
        """Called in the transport's thread, as the last thing that it does."""
        self.on_knock: Callable[[Knock], None] = Knock.refuse
        """Called in the transport's thread with who wants a channel for a TCP connection; it must not block."""

    def heard(self) -> tuple[int, int]:
        """How much came so far: messages, and bytes in the kernel that wait for a thread that is slow, or stuck."""
        waiting = array.array("i", [0])
        try:
            fcntl.ioctl(self.sock, termios.FIONREAD, waiting)
        except (OSError, ValueError):
            pass  # it is closed
        return self.packetizer.messages, waiting[0]

    def ask(self) -> None:
        """Send what has to be answered, unless somebody else is sending, which is as good.

        Never blocks, as it would in ``_send_user_message`` (transport.py): whoever sends to a peer that takes nothing
        holds its lock for as long.
        """
        if not self._request_order.acquire(blocking=False):
            return
        try:
            if not self.clear_to_send_lock.acquire(blocking=False):
                return
            try:
                if self.clear_to_send.is_set() and takes_bytes(self.sock):
                    # OpenSSH's own; who does not know it refuses it, and has answered (RFC 4254, section 4).
                    self._send_request("keepalive@openssh.com", (), self._send_message)
            except BROKEN:
                pass  # the transport's thread finds out by itself
            finally:
                self.clear_to_send_lock.release()
            self._deliver_soon()
        finally:
            self._request_order.release()

    def have_under_way(self, size: int) -> None:
        """Of each channel: it gives room for what was read (channel.py, ``_check_add_window``), or more, or less."""
        self.default_window_size = size
        for channel in self._channels.values():
            with channel.lock:
                channel.in_window_sofar += size - channel.in_window_size
                channel.in_window_size, channel.in_window_threshold = size, size // 10

    def request(self, kind: str, *data: str | int) -> Future[paramiko.Message | None]:
        """Make a global request. Its reply is None where it is refused; many may be under way."""
        with self._request_order:
            return self._send_request(kind, data, self._send_user_message)

    def _send_request(
        self, kind: str, data: tuple[str | int, ...], send: Callable[[paramiko.Message], None]
    ) -> Future[paramiko.Message | None]:
        request = paramiko.Message()
        request.add_byte(cMSG_GLOBAL_REQUEST)
        request.add_string(kind)
        request.add_boolean(True)
        request.add(*data)
        reply: Future[paramiko.Message | None] = Future()
        self._replies.append(reply)
        send(request)
        if not self.is_active():
            self._end_replies()
        return reply

    def _parse_request_success(self, message: paramiko.Message) -> None:
        self._replies.popleft().set_result(message)

    def _parse_request_failure(self, _message: paramiko.Message) -> None:
        self._replies.popleft().set_result(None)

    def _end_replies(self) -> None:
        while self._replies:
            with contextlib.suppress(IndexError):  # two may be at it
                self._replies.popleft().set_exception(paramiko.SSHException("the connection ended"))

    def run(self) -> None:
        try:
            super().run()
        finally:
            for channel in self._channels.values():
                channel._unlink()  # type: ignore[attr-defined]  # one that was let in at the very end
            self._end_replies()
            if self.when_over:
                self.when_over()

    def _parse_channel_open(self, message: paramiko.Message) -> None:
        if message.get_text() == ("direct-tcpip" if self.server_mode else "forwarded-tcpip"):
            self.on_knock(Knock(self, message))
        else:
            message.rewind()
            super()._parse_channel_open(message)  # type: ignore[misc]

    def _parse_channel_open_success(self, message: paramiko.Message) -> None:
        """Who asked for it may have given up: then the other side has it open for nobody."""
        number, theirs = message.get_int(), message.get_int()
        if self._channels.get(number) is None:
            close = paramiko.Message()
            close.add_byte(cMSG_CHANNEL_CLOSE)
            close.add_int(theirs)
            self._answer(close)
        else:
            message.rewind()
            super()._parse_channel_open_success(message)  # type: ignore[misc]

    def get_exception(self) -> Exception | None:
        """What ended the thread, for who asks in vain: paramiko raises it as it is (transport.py, ``open_channel``).

        That may be anything, such as cryptography's ``InvalidTag`` after a byte that changed on its way.
        """
        error: Exception | None = super().get_exception()
        if error is None or isinstance(error, BROKEN):
            return error
        return paramiko.SSHException(f"{type(error).__name__}: {error}")

    def end(self) -> None:
        """Close everything and wait for the thread."""
        try:
            # Wakes the thread at once; a plain close would leave it in its poll.
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.close()
        self.sock.close()
        self.packetizer.complete_handshake()  # cancels the timer thread of a handshake that never ended
        super().end()

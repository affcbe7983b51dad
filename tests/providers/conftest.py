from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from pytest_fargate_sandbox.providers.ssh import SshTunnel
from tests.fault_proxy import FaultProxy
from tests.real_sshd import RealSshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class EchoServer:
    """Sends back what it gets. It stands where a sandbox's own server would."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._connections: list[socket.socket] = []
        self._threads[0].start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(5)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._echo, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                while data := connection.recv(1 << 18):
                    connection.sendall(data)
            except OSError:
                pass


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    server = EchoServer()
    yield server
    server.close()


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[RealSshd]:
    server = RealSshd(tmp_path)
    yield server
    server.kill()


@pytest.fixture
def proxy(sshd: RealSshd) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", sshd.port)) as proxy:
        yield proxy


@pytest.fixture
def tunnel(sshd: RealSshd) -> Iterator[SshTunnel]:
    with tunnel_to(sshd) as tunnel:
        yield tunnel


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """What the test starts through us has to be gone when it ends."""
    before = set(threading.enumerate())
    yield

    def probe() -> bool:
        left = [thread for thread in threading.enumerate() if thread not in before and "tunnel" in thread.name]
        left += [thread for thread in threading.enumerate() if type(thread).__name__ in {"Transport", "Timer"}]
        if left:
            raise NotYet(f"still there: {left}")
        return True

    wait_until(probe, deadline=2, what="the end of all threads")


def tunnel_to(sshd: RealSshd, port: int | None = None, **more: object) -> SshTunnel:
    return SshTunnel(
        host="127.0.0.1",
        port=port or sshd.port,
        user=_user(),
        private_key=more.pop("private_key", sshd.user_key),  # type: ignore[arg-type]
        host_key=more.pop("host_key", sshd.host_key.public),  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


def _user() -> str:
    import getpass

    return getpass.getuser()


def echoed(stream: object, data: bytes) -> bytes:
    """What comes back after ``data`` was sent."""
    stream.sendall(data)  # type: ignore[attr-defined]
    back = bytearray()
    while len(back) < len(data):
        piece = stream.recv(1 << 18)  # type: ignore[attr-defined]
        if not piece:
            break
        back += piece
    return bytes(back)

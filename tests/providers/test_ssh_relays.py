"""What is carried through a port of the tunnel: whole to its end, or broken off so that nobody takes it for whole.

Against OpenSSH's sshd, and against the engine's own sidecar.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from tests.echo_server import EchoServer, echoed
from tests.fault_proxy import FaultProxy
from tests.free_ports import free_port
from tests.providers.conftest import tunnel_to
from tests.real_sshd import RealSshd
from tests.sidecar_process import Sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel

Pair = Callable[[], tuple[socket.socket, socket.socket]]

pytestmark = [
    pytest.mark.usefixtures("no_thread_left"),
    pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning"),
]

_MEGABYTE = os.urandom(1 << 20)


@dataclass(frozen=True)
class FarEnd:
    """The SSH server of a task."""

    port: int
    tunnel: Callable[..., SshTunnel]
    is_ours: bool
    """Ours passes a reset on; OpenSSH makes an ordinary end of it."""

    def breaks(self, client: socket.socket) -> bool:
        """Whether ``client`` hears that what it reads was broken off, as well as this server can say it."""
        try:
            rest = client.recv(1 << 18)
        except ConnectionResetError:
            return True
        assert rest == b""
        return not self.is_ours


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, FarEnd]]:
    sshd = RealSshd(tmp_path_factory.mktemp("sshd"))
    sidecar = Sidecar(tmp_path_factory.mktemp("sidecar"))
    yield {
        "sshd": FarEnd(sshd.port, lambda port=sshd.port, **more: tunnel_to(sshd, port, **more), False),
        "sidecar": FarEnd(sidecar.port, sidecar.tunnel, True),
    }
    sshd.kill()
    assert sidecar.end() == ""


@pytest.fixture(params=["sshd", "sidecar"])
def far_end(request: pytest.FixtureRequest, servers: dict[str, FarEnd]) -> FarEnd:
    return servers[request.param]


@pytest.fixture
def service() -> Iterator[socket.socket]:
    """A service on our side: a listener; who comes is accepted by the test."""
    with socket.create_server(("127.0.0.1", 0), backlog=600) as listener:
        listener.settimeout(10)
        yield listener


class Way:
    """A port in the task that leads to a service on our side, by way of a proxy that cuts."""

    def __init__(self, far_end: FarEnd, target: int) -> None:
        self.inner_port = free_port()
        self.proxy = FaultProxy(("127.0.0.1", far_end.port))
        self.tunnel = far_end.tunnel(port=self.proxy.port, reverses=[f"{self.inner_port}:127.0.0.1:{target}"])
        self.tunnel.open()

    def client(self) -> socket.socket:
        """A connection that somebody in the task makes."""
        return socket.create_connection(("127.0.0.1", self.inner_port), timeout=10)

    def wait_until_quiet(self) -> None:
        def probe() -> bool:
            if left := len(self.tunnel._reverses.callers._under_way):
                raise NotYet(f"{left} under way")
            return True

        wait_until(probe, deadline=10, what="no connection is left")

    def close(self) -> None:
        self.tunnel.close()
        self.proxy.close()


@pytest.fixture
def way(far_end: FarEnd, service: socket.socket) -> Iterator[Way]:
    with contextlib.closing(Way(far_end, service.getsockname()[1])) as way:
        yield way
        way.wait_until_quiet()


@pytest.fixture
def pair(way: Way, service: socket.socket) -> Iterator[Pair]:
    """Connects in the task; both ends of that, the client's first."""
    with contextlib.ExitStack() as ends:

        def connect() -> tuple[socket.socket, socket.socket]:
            client = ends.enter_context(way.client())
            served = ends.enter_context(service.accept()[0])
            served.settimeout(10)
            return client, served

        yield connect


@contextlib.contextmanager
def saying(sock: socket.socket, *words: bytes) -> Iterator[None]:
    """Somebody says these at the same time, as far as he is heard, and then that this was all."""

    def say() -> None:
        with contextlib.suppress(OSError):
            for word in words:
                sock.sendall(word)
            sock.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=say)
    thread.start()
    yield
    thread.join(10)
    assert not thread.is_alive()


def read_all(sock: socket.socket) -> bytes:
    whole = bytearray()
    while piece := sock.recv(1 << 18):
        whole += piece
    return bytes(whole)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def talks_until_it_is_full(sock: socket.socket) -> bool:
    """All that lies between it and a peer that reads nothing."""
    sock.settimeout(0.3)
    try:
        for _ in range(200):
            sock.sendall(_MEGABYTE)
    except TimeoutError:
        return True
    return False


def unread_in(tunnel: SshTunnel) -> int:
    assert tunnel._connection is not None
    return sum(len(channel.in_buffer) for channel in tunnel._connection._transport._channels.values())


def leads(way: Way, service: socket.socket) -> bool | None:
    """Not while nobody listens, or somebody does whose connection has just broken."""
    try:
        with way.client(), service.accept()[0]:
            return True
    except (ConnectionRefusedError, TimeoutError):
        return None


@contextlib.contextmanager
def descriptors(count: int) -> Iterator[None]:
    """What is made meanwhile believes that the process may have so many; those that it has stay."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


# --- whole ----------------------------------------------------------------------------------------------------------


def test_each_half_ends_by_itself(pair: Pair) -> None:
    for first, second in (pair(), reversed(pair())):
        with saying(first, b"question"):
            assert read_all(second) == b"question"
        with saying(second, _MEGABYTE):
            assert read_all(first) == _MEGABYTE


def test_an_answer_that_comes_before_the_question_has_ended_arrives(pair: Pair) -> None:
    """As of a server that refuses a large body: it answers, and takes no more."""
    client, served = pair()
    with saying(client, *[_MEGABYTE] * 32):
        served.recv(1000)
        served.sendall(b"413 too large")
        served.close()
        assert client.recv(100) == b"413 too large"


def test_64_at_once_arrive_whole(far_end: FarEnd) -> None:
    def converse(number: int) -> bool:
        word = os.urandom(100_000 + number)
        with way.client() as client:
            return echoed(client, word) == word

    with EchoServer() as echo, contextlib.closing(Way(far_end, echo.port)) as way, ThreadPoolExecutor(64) as pool:
        assert all(pool.map(converse, range(64)))


# --- broken off -----------------------------------------------------------------------------------------------------


def test_a_cut_is_no_end_for_anybody_and_the_next_has_an_answer_soon(
    pair: Pair, way: Way, service: socket.socket, far_end: FarEnd
) -> None:
    pairs = [pair() for _ in range(4)]
    for client, served in pairs:
        served.sendall(b"a part")
        assert client.recv(100) == b"a part"
    began = time.monotonic()
    way.proxy.cut()
    for client, served in pairs:
        with pytest.raises(ConnectionResetError):
            served.recv(1)
        assert far_end.breaks(client)
    service.settimeout(0.5)
    wait_until(lambda: leads(way, service), deadline=10, what="the way again", longest_pause=0.05)
    assert time.monotonic() - began < 2  # a fifth of it where nothing else runs


def test_a_reset_by_the_service_is_no_end(pair: Pair, far_end: FarEnd) -> None:
    client, served = pair()
    served.sendall(b"a part")
    assert client.recv(100) == b"a part"
    reset(served)
    assert far_end.breaks(client)


def test_a_client_that_is_gone_is_told_to_a_service_that_says_nothing(pair: Pair, far_end: FarEnd) -> None:
    client, served = pair()
    reset(client)
    if far_end.is_ours:
        with pytest.raises(ConnectionResetError):
            served.recv(1)
    else:
        assert served.recv(1) == b""


def test_a_client_that_is_gone_ends_a_service_that_talks_without_end(pair: Pair) -> None:
    client, served = pair()
    assert talks_until_it_is_full(served)
    client.close()
    with pytest.raises(ConnectionError):
        wait_until(lambda: served.sendall(_MEGABYTE), deadline=10, what="a reset")


def test_where_nobody_answers_a_client_is_refused(far_end: FarEnd) -> None:
    with contextlib.closing(Way(far_end, free_port())) as way, way.client() as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.recv(1)


# --- crowds and slow ones -------------------------------------------------------------------------------------------


def test_who_reads_nothing_holds_up_the_sender_and_nobody_else(pair: Pair, way: Way) -> None:
    for deaf, talker in (pair(), reversed(pair())):
        assert talks_until_it_is_full(talker)
        client, served = pair()
        with saying(served, b"others are served"):
            assert read_all(client) == b"others are served"
        assert unread_in(way.tunnel) <= 1 << 21
        deaf.close()


def test_of_many_who_talk_to_the_deaf_little_is_kept(pair: Pair, way: Way) -> None:
    few = [pair() for _ in range(32)]
    for client, served in few:  # what it says arrives once the tunnel has let it in, and not before
        client.sendall(b"in")
        assert served.recv(2) == b"in"
    for talker, _ in [pair() for _ in range(4)]:
        assert talks_until_it_is_full(talker)
    assert unread_in(way.tunnel) <= 4 << 17


def test_a_crowd_of_silent_clients_is_bounded_and_leaves_room_for_ours(far_end: FarEnd, service: socket.socket) -> None:
    target = service.getsockname()[1]
    with descriptors(200):
        way = Way(far_end, target)
    with contextlib.closing(way), contextlib.ExitStack() as crowd:
        clients = [crowd.enter_context(way.client()) for _ in range(70)]

        def twenty_are_refused() -> bool | None:
            return len(select.select(clients, [], [], 0)[0]) == 20 or None

        wait_until(twenty_are_refused, deadline=30, what="twenty refusals")
        way.tunnel.dial(target).close()
        for _ in range(51):
            service.accept()[0].close()
        crowd.close()
        way.wait_until_quiet()
        with way.client() as client, service.accept()[0] as served:
            served.sendall(b"room again")
            assert client.recv(100) == b"room again"

"""The tunnel against OpenSSH's own sshd, and through a relay that breaks it."""

from __future__ import annotations

import http.server
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import ConfigError, TransportError
from pytest_fargate_sandbox.leaves.user_cache import write_private
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.providers.ssh.ssh_connection import usable_key
from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
from tests.echo_server import EchoServer, echoed
from tests.fault_proxy import FaultProxy
from tests.free_ports import free_port
from tests.fresh_keys import fresh_key_pair
from tests.providers.conftest import tunnel_to

if TYPE_CHECKING:
    from collections.abc import Sized
    from pathlib import Path

    from pytest_fargate_sandbox.providers.ssh.ssh_stream import ChannelStream
    from tests.real_sshd import RealSshd

pytestmark = pytest.mark.usefixtures("no_thread_left")


def read(stream: ChannelStream, size: int) -> bytes:
    """So much of what comes."""
    back = bytearray()
    while len(back) < size:
        back += stream.recv(size - len(back))
    return bytes(back)


def test_a_stream_carries_bytes_both_ways(tunnel: SshTunnel, echo: EchoServer) -> None:
    stream = tunnel.dial(echo.port)
    assert echoed(stream, b"hello") == b"hello"
    stream.close()


def test_a_stream_carries_every_byte_of_a_large_body(tunnel: SshTunnel, echo: EchoServer) -> None:
    stream = tunnel.dial(echo.port)
    body = os.urandom(8 << 20)
    sender = threading.Thread(target=stream.sendall, args=(memoryview(body),))
    sender.start()
    back = read(stream, len(body))
    sender.join()
    assert back == body


def settled(came: Sized) -> int:
    """How much is there once no more comes."""
    seen = [0]

    def probe() -> int | None:
        seen.append(len(came))
        return seen[-1] if len(seen) > 10 and 0 < min(seen[-10:]) == max(seen[-10:]) else None

    return wait_until(probe, deadline=10, what="the end of what comes", longest_pause=0.03)


def test_of_a_stream_so_much_is_under_way_as_is_wanted(tunnel: SshTunnel, echo: EchoServer) -> None:
    assert tunnel._connection is not None
    tunnel._connection.have_under_way(100_000)
    stream = tunnel.dial(echo.port)
    sender = threading.Thread(target=stream.sendall, args=(bytes(1_000_000),))
    sender.start()
    came = stream._channel.in_buffer
    assert 90_000 <= settled(came) <= 100_000  # the last tenth is given with the next
    for size in (50_000, 200_000):  # what was given cannot be taken back, but need not be given anew
        tunnel._connection.have_under_way(size)
        read(stream, 150_000)
        assert size * 0.9 <= settled(came) <= size
    read(stream, 600_000)
    sender.join()
    stream.close()


def test_a_stream_ends_when_the_other_side_has_nothing_more_to_say(tunnel: SshTunnel, echo: EchoServer) -> None:
    stream = tunnel.dial(echo.port)
    stream.sendall(b"bye")
    stream.shutdown_write()
    assert stream.recv(10) == b"bye"
    assert stream.recv(10) == b""


def test_a_read_that_takes_too_long_is_a_timeout(tunnel: SshTunnel, echo: EchoServer) -> None:
    stream = tunnel.dial(echo.port)
    stream.settimeout(0.05)
    with pytest.raises(TimeoutError):
        stream.recv(10)
    stream.settimeout(5)
    assert echoed(stream, b"still usable") == b"still usable"


def test_many_streams_share_one_connection(proxy: FaultProxy, sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd, proxy.port) as tunnel, ThreadPoolExecutor(16) as pool:
        words = [f"message {number}".encode() for number in range(64)]
        assert list(pool.map(lambda word: echoed(tunnel.dial(echo.port), word), words)) == words
        assert proxy.connections == 1


def test_a_port_where_nothing_listens_is_named(tunnel: SshTunnel) -> None:
    port = free_port()
    with pytest.raises(TransportError, match=f"nothing answers at 127.0.0.1:{port}"):
        tunnel.dial(port)


def test_nothing_is_left_after_close(sshd: RealSshd, echo: EchoServer) -> None:
    before = threading.active_count()
    tunnel = tunnel_to(sshd, forward_port=echo.port, reverses=[f"{free_port()}:127.0.0.1:{echo.port}"])
    tunnel.open()
    local_port = tunnel.local_port
    streams = [tunnel.dial(echo.port) for _ in range(3)]
    client = socket.create_connection(("127.0.0.1", local_port))
    client.sendall(b"x")
    client.recv(1)
    started = time.monotonic()
    tunnel.close()
    assert time.monotonic() - started < 1
    with pytest.raises(ConnectionResetError):  # which is no end that could be taken for a good one
        client.recv(1)
    client.close()
    for stream in streams:
        with pytest.raises(TransportError):
            stream.sendall(b"x")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", local_port)).close()
    wait_until(lambda: threading.active_count() - len(streams) - 1 <= before or None, deadline=10, what="threads gone")
    assert not tunnel.is_open


def test_close_may_be_called_twice_and_before_open(sshd: RealSshd) -> None:
    tunnel = tunnel_to(sshd)
    tunnel.close()
    tunnel.open()
    tunnel.close()
    tunnel.close()


def test_a_closed_tunnel_opens_again(sshd: RealSshd, echo: EchoServer) -> None:
    tunnel = tunnel_to(sshd)
    tunnel.open()
    tunnel.close()
    with pytest.raises(TransportError, match="not open"):
        tunnel.dial(echo.port)
    with tunnel:
        assert echoed(tunnel.dial(echo.port), b"again") == b"again"


def test_open_connects_a_broken_tunnel_again(proxy: FaultProxy, sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd, proxy.port) as tunnel:
        proxy.cut()
        wait_until(lambda: not tunnel.is_open or None, deadline=10, what="the loss is seen")
        tunnel.open()
        assert tunnel.is_open
        assert echoed(tunnel.dial(echo.port), b"again") == b"again"


def test_open_waits_for_a_server_that_starts_late(sshd: RealSshd, echo: EchoServer) -> None:
    sshd.kill()
    later = threading.Timer(0.3, sshd.start)
    later.start()
    with tunnel_to(sshd) as tunnel:
        assert echoed(tunnel.dial(echo.port), b"up") == b"up"
    later.join()


def test_open_gives_up_and_says_what_it_saw_last(sshd: RealSshd) -> None:
    sshd.kill()
    started = time.monotonic()
    with pytest.raises(TransportError, match=r"did not happen within .*[Cc]onnection refused"):
        tunnel_to(sshd).open(max_retries=2, initial_backoff=0.1)
    assert time.monotonic() - started < 2


def test_open_ends_at_once_when_the_task_is_known_to_be_dead(sshd: RealSshd) -> None:
    sshd.kill()

    def still_alive() -> None:
        raise RuntimeError("it died")

    with pytest.raises(RuntimeError, match="it died"):
        tunnel_to(sshd).open(still_alive=still_alive)


def test_close_from_another_thread_ends_a_wait_for_a_server(sshd: RealSshd) -> None:
    sshd.kill()
    tunnel = tunnel_to(sshd)
    later = threading.Timer(0.2, tunnel.close)
    later.start()
    with pytest.raises(TransportError, match="not open"):
        tunnel.open()
    later.join()


def test_a_server_that_speaks_no_ssh_is_told_from_one_that_is_not_there(echo: EchoServer) -> None:
    tunnel = SshTunnel(host="127.0.0.1", port=echo.port, private_key=fresh_key_pair())
    with pytest.raises(TransportError, match=r"did not happen within"):
        tunnel.open(max_retries=1, initial_backoff=0.2)


def test_the_connection_is_encrypted_with_aes_gcm(tunnel: SshTunnel) -> None:
    assert tunnel._connection is not None
    assert "gcm" in tunnel._connection._transport.local_cipher


def test_another_host_key_is_refused_at_once(sshd: RealSshd) -> None:
    started = time.monotonic()
    with pytest.raises(TransportError, match="somebody else answers at that address"):
        tunnel_to(sshd, host_key=fresh_key_pair().public).open()
    assert time.monotonic() - started < 3


def test_without_an_expected_host_key_the_first_is_remembered(sshd: RealSshd) -> None:
    with tunnel_to(sshd, host_key=None) as tunnel:
        sshd.kill()
        write_private(sshd.directory / "host_key", fresh_key_pair().private)
        sshd.start()
        with pytest.raises(TransportError, match="somebody else answers"):
            tunnel.reconnect()


def test_a_key_that_the_server_does_not_know_is_refused_at_once(sshd: RealSshd) -> None:
    with pytest.raises(TransportError, match="refuses our key"):
        tunnel_to(sshd, private_key=fresh_key_pair()).open()


def test_a_key_comes_as_pair_as_text_as_object_or_as_file(sshd: RealSshd, tmp_path: Path) -> None:
    file = tmp_path / "id"
    write_private(file, sshd.user_key.private)
    for key in (sshd.user_key, sshd.user_key.private, usable_key(sshd.user_key)):
        tunnel_to(sshd, private_key=key).__enter__().close()
    tunnel_to(sshd, private_key=None, key_file=file).__enter__().close()


def test_a_missing_key_file_is_a_config_error(sshd: RealSshd) -> None:
    with pytest.raises(ConfigError, match="no-such-key"):
        tunnel_to(sshd, private_key=None, key_file="no-such-key")


# --- reverse ports ------------------------------------------------------------------------------------------------


def test_a_cut_in_the_middle_of_a_transfer_is_a_transport_error(
    proxy: FaultProxy, sshd: RealSshd, echo: EchoServer
) -> None:
    with tunnel_to(sshd, proxy.port) as tunnel:
        stream = tunnel.dial(echo.port)
        proxy.cut_after(1 << 20)
        with pytest.raises(TransportError):
            echoed(stream, bytes(8 << 20))


def test_a_killed_server_is_a_transport_error_for_who_waits(sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd) as tunnel:
        stream = tunnel.dial(echo.port)
        later = threading.Timer(0.1, sshd.kill)
        later.start()
        with pytest.raises(TransportError, match="lost"):
            stream.recv(1)
        later.join()
        assert not tunnel.check_health()


def test_after_a_cut_the_next_stream_connects_again(proxy: FaultProxy, sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd, proxy.port, forward_port=echo.port) as tunnel:
        local_port = tunnel.local_port
        proxy.cut()
        assert echoed(tunnel.dial(echo.port), b"back") == b"back"
        with socket.create_connection(("127.0.0.1", local_port)) as client:
            assert echoed(client, b"same port") == b"same port"


def test_a_stream_whose_connection_breaks_again_and_again_while_it_is_opened_is_opened(
    sshd: RealSshd, echo: EchoServer
) -> None:
    login, breaks = [0], [0, 0, 0]

    def connect() -> socket.socket:
        if login[0] and breaks:
            breaks.pop()
            proxy.cut_after(login[0] + 10)
        return socket.create_connection(("127.0.0.1", sshd.port))

    with FaultProxy(connect) as proxy:
        proxy.cut_after(1 << 20)
        with tunnel_to(sshd, proxy.port) as tunnel:
            login[0] = (1 << 20) - (proxy.left or 0)
            proxy.cut()
            assert echoed(tunnel.dial(echo.port), b"in") == b"in"
            assert not breaks
            assert proxy.connections == 5


def test_all_who_meet_a_broken_tunnel_share_one_reconnect(proxy: FaultProxy, sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd, proxy.port) as tunnel, ThreadPoolExecutor(16) as pool:
        proxy.cut()
        words = [f"word {number}".encode() for number in range(16)]
        assert list(pool.map(lambda word: echoed(tunnel.dial(echo.port), word), words)) == words
        assert proxy.connections == 2


def test_all_who_wait_for_a_reconnect_share_its_failure(proxy: FaultProxy, sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd, proxy.port) as tunnel, ThreadPoolExecutor(8) as pool:
        proxy.stall()
        proxy.cut()
        wait_until(lambda: not tunnel.is_open or None, deadline=10, what="the loss is seen")

        def failure(_: int) -> str:
            with pytest.raises(TransportError) as caught:
                tunnel.dial(echo.port, timeout=0.2)
            return str(caught.value)

        assert len(set(pool.map(failure, range(8)))) == 1
        assert proxy.connections <= 3


def test_a_task_that_has_ended_is_told_at_once(sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd) as tunnel:
        sshd.kill()
        started = time.monotonic()
        with pytest.raises(TransportError, match="the task has probably ended"):
            tunnel.dial(echo.port)
        assert time.monotonic() - started < 1


def test_a_stalled_connection_is_not_healthy(proxy: FaultProxy, sshd: RealSshd) -> None:
    with tunnel_to(sshd, proxy.port) as tunnel:
        assert tunnel.check_health()
        proxy.stall()
        assert not tunnel.check_health(timeout=0.2)
        proxy.flow()
        assert tunnel.check_health()


def test_a_stalled_connection_is_replaced_on_request(proxy: FaultProxy, sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd, proxy.port) as tunnel:
        proxy.stall()
        waiting = tunnel._live_connection()
        proxy.flow()
        tunnel.reconnect()
        assert not waiting.is_alive
        assert echoed(tunnel.dial(echo.port), b"new") == b"new"


def test_wait_ready_waits_for_the_forwarded_port(sshd: RealSshd) -> None:
    port = free_port()
    with tunnel_to(sshd, forward_port=port) as tunnel:
        with pytest.raises(TransportError, match=f"port {port}"):
            tunnel.wait_ready(timeout=0.1)
        with socket.create_server(("127.0.0.1", port)):
            tunnel.wait_ready(timeout=30)


def test_wait_ready_wants_an_open_tunnel(sshd: RealSshd) -> None:
    with pytest.raises(TransportError, match="not open"):
        tunnel_to(sshd).wait_ready()


def test_wait_ready_without_a_port_asks_the_server_itself(tunnel: SshTunnel) -> None:
    tunnel.wait_ready(timeout=30)


def test_wait_ready_waits_for_a_health_url(sshd: RealSshd) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        answers = iter([503, 503, 200])

        def do_GET(self) -> None:
            self.send_response(next(self.answers))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with tunnel_to(sshd, forward_port=server.server_address[1]) as tunnel:
            tunnel.wait_ready(health_url=f"http://127.0.0.1:{tunnel.local_port}/health", timeout=30)
        server.shutdown()
        thread.join()

"""A connection that TCP believes in and over which nothing comes, and ones that are only slow."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.echo_server import EchoServer, echoed
from tests.providers.conftest import tunnel_to

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fault_proxy import FaultProxy
    from tests.real_sshd import RealSshd

pytestmark = pytest.mark.usefixtures("no_thread_left")

_SHORT = 1.0
_HEALS_WITHIN = 4.0
"""With ``_SHORT``: a look and its five fifths, then the connecting, on a machine that does much else."""


def test_who_waits_for_a_swallowed_connection_hears_of_it_and_the_next_stream_has_a_new_one(
    proxy: FaultProxy, sshd: RealSshd, echo: EchoServer
) -> None:
    with tunnel_to(sshd, proxy.port, dead_after=_SHORT) as tunnel:
        stream = tunnel.dial(echo.port)
        proxy.swallow()
        began = time.monotonic()
        with pytest.raises(TransportError, match=r"nothing came from .* for 1 s, though we asked"):
            stream.recv(1)
        assert echoed(tunnel.dial(echo.port), b"new") == b"new"
        assert _SHORT * 0.8 < time.monotonic() - began < _HEALS_WITHIN
        assert proxy.connections == 2


def test_who_sends_into_a_swallowed_connection_hears_of_it(proxy: FaultProxy, sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd, proxy.port, dead_after=_SHORT) as tunnel:
        stream = tunnel.dial(echo.port)
        proxy.swallow()
        began = time.monotonic()
        with pytest.raises(TransportError, match="though we asked"):
            stream.sendall(bytes(64 << 20))
        assert time.monotonic() - began < _HEALS_WITHIN


def test_who_sends_into_a_connection_that_takes_nothing_hears_of_it(
    proxy: FaultProxy, sshd: RealSshd, echo: EchoServer
) -> None:
    """The sender holds paramiko's lock in a write that nobody takes, so that not even a question can be sent."""
    with tunnel_to(sshd, proxy.port, dead_after=_SHORT) as tunnel:
        streams = [tunnel.dial(echo.port) for _ in range(8)]
        failures: list[TransportError] = []

        def send(number: int) -> None:
            try:
                streams[number].sendall(bytes(16 << 20))
            except TransportError as error:
                failures.append(error)

        proxy.stall()
        senders = [threading.Thread(target=send, args=(number,)) for number in range(len(streams))]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(_HEALS_WITHIN)
        proxy.flow()
        assert len(failures) == len(streams)


def test_a_new_stream_does_not_wait_for_its_own_time_out(proxy: FaultProxy, sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd, proxy.port, dead_after=_SHORT) as tunnel:
        proxy.swallow()
        began = time.monotonic()
        assert echoed(tunnel.dial(echo.port, timeout=60), b"new") == b"new"
        assert time.monotonic() - began < _HEALS_WITHIN


def test_a_relay_over_a_swallowed_connection_ends(proxy: FaultProxy, sshd: RealSshd, echo: EchoServer) -> None:
    with (
        tunnel_to(sshd, proxy.port, dead_after=_SHORT, forward_port=echo.port) as tunnel,
        socket.create_connection(("127.0.0.1", tunnel.local_port)) as client,
    ):
        assert echoed(client, b"before") == b"before"
        proxy.swallow()
        client.settimeout(_HEALS_WITHIN)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with socket.create_connection(("127.0.0.1", tunnel.local_port)) as second:
            assert echoed(second, b"same port") == b"same port"


def test_a_connection_that_is_swallowed_during_the_log_in_is_tried_again(
    proxy: FaultProxy, sshd: RealSshd, echo: EchoServer
) -> None:
    proxy.swallow_after(1 << 20)
    with tunnel_to(sshd, proxy.port) as tunnel:
        whole = (1 << 20) - (proxy.left or 0)
        proxy.swallow_after(whole - 50)  # all but the last word, which lets us in
        began = time.monotonic()
        tunnel.reconnect()
        assert proxy.connections == 3
        assert time.monotonic() - began < 10
        assert echoed(tunnel.dial(echo.port), b"in") == b"in"


# --- no false alarms ------------------------------------------------------------------------------------------------


def test_an_idle_connection_lives_and_is_asked_now_and_then(
    proxy: FaultProxy, sshd: RealSshd, echo: EchoServer
) -> None:
    with tunnel_to(sshd, proxy.port, dead_after=0.5) as tunnel:
        connection = tunnel._connection
        assert connection is not None
        before = connection._transport.packetizer.messages
        wait_until(
            lambda: connection._transport.packetizer.messages >= before + 5 or None, deadline=10, what="five answers"
        )
        assert not connection._transport._replies
        # Answers to questions are not taken for those to other requests.
        ports = {tunnel.request_reverse(0, "127.0.0.1", echo.port) for _ in range(20)}
        assert len(ports) == 20
        assert 0 not in ports
        assert tunnel._connection is connection


def test_a_server_that_is_stopped_for_five_seconds_is_not_given_up(sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd) as tunnel:
        stream, connection = tunnel.dial(echo.port), tunnel._connection
        with sshd.frozen():
            time.sleep(5.0)
        assert echoed(stream, b"still here") == b"still here"
        assert tunnel._connection is connection


def test_a_full_connection_whose_reader_is_slow_is_not_given_up(sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd, dead_after=_SHORT) as tunnel:
        stream, connection = tunnel.dial(echo.port), tunnel._connection
        sender = threading.Thread(target=stream.sendall, args=(bytes(12 << 20),))
        sender.start()
        time.sleep(_SHORT * 3)  # nobody reads: both windows are full, and the sender waits
        back = 0
        while back < 12 << 20:
            back += len(stream.recv(1 << 20))
        sender.join()
        assert tunnel._connection is connection


_WHO_IS_STOPPED = """
import sys, time
from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
from tests.echo_server import echoed

port, user, key, echo = sys.argv[1:]
with SshTunnel(host="127.0.0.1", port=int(port), user=user, key_file=key, dead_after=1.0) as tunnel:
    stream, connection = tunnel.dial(int(echo)), tunnel._connection
    print("ready", flush=True)
    sys.stdin.readline()
    time.sleep(0.5)  # for the look that may come first after a stop
    assert echoed(stream, b"x") == b"x"
    assert tunnel._connection is connection
    print("well", flush=True)
"""


def test_a_client_that_was_stopped_itself_blames_nobody(sshd: RealSshd, echo: EchoServer, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(sshd.user_key.private)
    (tmp_path / "key").chmod(0o600)
    command = [
        sys.executable,
        "-c",
        _WHO_IS_STOPPED,
        str(sshd.port),
        getpass.getuser(),
        tmp_path / "key",
        str(echo.port),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        program.send_signal(signal.SIGSTOP)
        time.sleep(3.0)
        program.send_signal(signal.SIGCONT)
        program.stdin.write("go on\n")
        program.stdin.flush()
        assert program.stdout.readline() == "well\n"

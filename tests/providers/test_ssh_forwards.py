"""Ports of the tunnel: local ones that lead there, and reverse ones that lead to our side."""

from __future__ import annotations

import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import ConfigError, TransportError
from tests.echo_server import EchoServer, echoed
from tests.free_ports import free_port
from tests.providers.conftest import tunnel_to

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
    from tests.fault_proxy import FaultProxy
    from tests.real_sshd import RealSshd

pytestmark = pytest.mark.usefixtures("no_thread_left")


def test_no_local_port_is_opened_unless_asked_for(sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd, forward_port=echo.port) as tunnel:
        assert not tunnel._listeners
        with socket.create_connection(("127.0.0.1", tunnel.local_port)) as client:
            assert echoed(client, b"through the port") == b"through the port"


def test_the_local_port_may_be_chosen(sshd: RealSshd, echo: EchoServer) -> None:
    port = free_port()
    with tunnel_to(sshd, forward_port=echo.port, local_port_override=port) as tunnel:
        assert tunnel.local_port == port


def test_forwards_open_when_the_tunnel_opens(sshd: RealSshd, echo: EchoServer) -> None:
    port = free_port()
    with (
        tunnel_to(sshd, forwards=[f"{port}:127.0.0.1:{echo.port}"]),
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        body = os.urandom(1 << 20)
        sender = threading.Thread(target=client.sendall, args=(body,))
        sender.start()
        back = b""
        while len(back) < len(body):
            back += client.recv(1 << 20)
        sender.join()
        assert back == body
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def test_a_taken_local_port_is_an_error_that_leaves_nothing_open(sshd: RealSshd, echo: EchoServer) -> None:
    tunnel = tunnel_to(sshd, forwards=[f"{echo.port}:127.0.0.1:{echo.port}"])
    with pytest.raises(TransportError, match=f"cannot open local port {echo.port}"):
        tunnel.open()
    assert not tunnel.is_open


def test_a_forward_to_a_dead_port_resets_its_connection_only(sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd, forwards=[f"0:127.0.0.1:{free_port()}"], forward_port=echo.port) as tunnel:
        (listener,) = tunnel._listeners.values()
        with (
            socket.create_connection(("127.0.0.1", listener.port)) as client,
            pytest.raises(ConnectionResetError),
        ):
            client.recv(1)
        assert echoed(tunnel.dial(echo.port), b"fine") == b"fine"


@pytest.mark.parametrize("spec", ["", "80", "80:host", "80:host:x", "x:host:80", "80::80", "70000:host:80", "1:host:0"])
def test_a_bad_forward_is_a_config_error(sshd: RealSshd, spec: str) -> None:
    with pytest.raises(ConfigError, match="PORT:HOST:PORT"):
        tunnel_to(sshd, forwards=[spec])


def test_a_reverse_port_leads_to_our_side(sshd: RealSshd, echo: EchoServer) -> None:
    port = free_port()
    with (
        tunnel_to(sshd, reverses=[f"{port}:127.0.0.1:{echo.port}"]),
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        assert echoed(client, b"to the host") == b"to the host"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


def test_several_reverse_ports_lead_to_their_own_targets(tunnel: SshTunnel, echo: EchoServer) -> None:
    closed = tunnel.request_reverse(0, "127.0.0.1", free_port())
    opened = tunnel.request_reverse(0, "127.0.0.1", echo.port)
    with socket.create_connection(("127.0.0.1", closed)) as client:
        assert client.recv(1) == b""
    with socket.create_connection(("127.0.0.1", opened)) as client:
        assert echoed(client, b"mine") == b"mine"


def test_a_reverse_port_is_reclaimed_from_the_connection_that_broke(
    proxy: FaultProxy, sshd: RealSshd, echo: EchoServer
) -> None:
    port = free_port()
    with tunnel_to(sshd, proxy.port, reverses=[f"{port}:127.0.0.1:{echo.port}"]) as tunnel:
        proxy.cut()
        assert echoed(tunnel.dial(echo.port), b"back") == b"back"
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert echoed(client, b"reverse too") == b"reverse too"


def test_a_reverse_port_that_somebody_else_has_is_told_soon(sshd: RealSshd, echo: EchoServer) -> None:
    tunnel = tunnel_to(sshd, reverses=[f"{echo.port}:127.0.0.1:{echo.port}"])
    began = time.monotonic()
    with pytest.raises(TransportError, match=f"port {echo.port}.* a process there has the port"):
        tunnel.open(max_retries=1)
    assert time.monotonic() - began < 10
    assert not tunnel.is_open

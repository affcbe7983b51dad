"""A connection that dies at its worst moments: while data arrives, and in the middle of what a relay carries."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

import paramiko
import pytest

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.providers.conftest import tunnel_to

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.ssh.ssh_stream import ChannelStream
    from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
    from tests.echo_server import EchoServer
    from tests.fault_proxy import FaultProxy
    from tests.real_sshd import RealSshd

pytestmark = [
    pytest.mark.usefixtures("no_thread_left"),
    pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning"),
]


def end_our_half(tunnel: SshTunnel) -> None:
    """Nothing can be sent any more, while what has arrived is still to be read: a cut seen from between."""
    assert tunnel._connection is not None
    tunnel._connection._transport.sock.shutdown(socket.SHUT_WR)


def waiting_in(stream: ChannelStream) -> int:
    return len(stream._channel.in_buffer)


def test_a_connection_that_dies_while_data_arrives_is_a_transport_error(sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd) as tunnel:
        stream = tunnel.dial(echo.port)
        stream.sendall(bytes(1 << 20))
        wait_until(lambda: waiting_in(stream) >= 1 << 20 or None, deadline=10, what="a megabyte of echo")
        with sshd.frozen():
            end_our_half(tunnel)
            with pytest.raises(TransportError, match="lost"):
                stream.recv(1 << 20)  # here paramiko tells the other side that there is room again
            with pytest.raises(TransportError, match="cannot send"):
                stream.sendall(b"x")
            with pytest.raises(TransportError, match="cannot end"):
                stream.shutdown_write()
            stream.close()


def test_a_relay_whose_connection_dies_while_data_arrives_closes_both_its_ends(sshd: RealSshd) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as target,
        tunnel_to(sshd, forward_port=target.getsockname()[1]) as tunnel,
    ):
        client = socket.create_connection(("127.0.0.1", tunnel.local_port))
        client.settimeout(10)
        far_end, _ = target.accept()
        far_end.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while True:  # until everything on the way to the client, who does not read, is full
                far_end.sendall(bytes(1 << 18))
        with sshd.frozen():
            end_our_half(tunnel)
            with contextlib.suppress(ConnectionResetError):
                while client.recv(1 << 18):
                    pass
            client.close()
            relays = tunnel._relays
            wait_until(lambda: not relays._under_way or None, deadline=10, what="both ends closed")
        far_end.close()


def test_a_relay_that_is_half_closed_ends_with_its_connection(proxy: FaultProxy, sshd: RealSshd) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as target,
        tunnel_to(sshd, proxy.port, forward_port=target.getsockname()[1]) as tunnel,
        socket.create_connection(("127.0.0.1", tunnel.local_port)) as client,
    ):
        far_end, _ = target.accept()
        with far_end:
            far_end.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
            client.sendall(b"still heard")
            assert far_end.recv(100) == b"still heard"
            proxy.cut()
            wait_until(lambda: not tunnel._relays._under_way or None, deadline=10, what="both ends closed")


def test_a_connection_that_breaks_while_a_channel_is_being_made_has_ended(proxy: FaultProxy, sshd: RealSshd) -> None:
    with tunnel_to(sshd, proxy.port) as tunnel:
        assert tunnel._connection is not None
        transport = tunnel._connection._transport
        channel = paramiko.Channel(77)
        transport._channels.put(77, channel)  # as paramiko does, a moment before it tells the channel whose it is
        proxy.cut()
        transport.join(5)
        assert channel.closed
        assert not tunnel.is_open

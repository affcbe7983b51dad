"""Ports on the other side that lead here: they stand again after a break, though nobody here asks for anything."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from tests.echo_server import EchoServer, echoed
from tests.free_ports import free_port
from tests.providers.conftest import tunnel_to

if TYPE_CHECKING:
    from tests.fault_proxy import FaultProxy
    from tests.real_sshd import RealSshd

pytestmark = pytest.mark.usefixtures("no_thread_left")

_SHORT = 1.0


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            if echoed(client, b"to our side") == b"to our side":
                return True
    except OSError as error:
        raise NotYet(str(error)) from error
    raise NotYet("closed without an answer")


def test_a_reverse_port_heals_after_a_cut_though_nobody_dials(
    proxy: FaultProxy, sshd: RealSshd, echo: EchoServer
) -> None:
    port = free_port()
    with tunnel_to(sshd, proxy.port, reverses=[f"{port}:127.0.0.1:{echo.port}"]):
        for _ in range(5):
            assert answers(port)
            proxy.cut()
            began = time.monotonic()
            wait_until(lambda: answers(port), deadline=10, what="an answer from our side", longest_pause=0.05)
            assert time.monotonic() - began < 2  # a tenth of it where nothing else runs


def test_a_reverse_port_heals_however_often_the_attempts_to_connect_fail(sshd: RealSshd, echo: EchoServer) -> None:
    port = free_port()
    with tunnel_to(sshd, reverses=[f"{port}:127.0.0.1:{echo.port}"]) as tunnel:
        sshd.kill()
        wait_until(lambda: not tunnel.is_open or None, deadline=10, what="the loss is seen")
        wait_until(lambda: tunnel._last_failure, deadline=10, what="an attempt that failed")
        sshd.start()
        wait_until(lambda: answers(port), deadline=10, what="an answer from our side")


def test_a_tunnel_that_is_closed_stays_closed(proxy: FaultProxy, sshd: RealSshd, echo: EchoServer) -> None:
    with tunnel_to(sshd, proxy.port, reverses=[f"{free_port()}:127.0.0.1:{echo.port}"]) as tunnel:
        proxy.refuse()
        proxy.cut()
    assert not tunnel.is_open
    assert proxy.connections == 1


def test_streams_do_not_wait_for_a_port_that_the_dead_connection_holds(
    proxy: FaultProxy, sshd: RealSshd, echo: EchoServer
) -> None:
    port = free_port()
    with tunnel_to(sshd, proxy.port, reverses=[f"{port}:127.0.0.1:{echo.port}"], dead_after=_SHORT) as tunnel:
        before = tunnel._connection
        proxy.swallow()  # the server believes the connection alive, and keeps its port
        began = time.monotonic()
        assert echoed(tunnel.dial(echo.port, timeout=30), b"new") == b"new"
        assert time.monotonic() - began < 6
        assert tunnel._connection is not before
        proxy.cut_swallowed()
        wait_until(lambda: answers(port), deadline=10, what="the port leads here again")

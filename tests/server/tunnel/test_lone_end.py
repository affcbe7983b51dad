"""The end of tunnels that is alone in its container: whom it serves, and whom it does not keep a place for."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.providers.ssm.tunnel_opening import TunnelOpening
from pytest_fargate_sandbox.server.tunnel.lone_end import take_tunnels
from tests.echo_server import EchoServer, echoed
from tests.free_ports import free_port
from tests.server.tunnel.rough_way import RoughWay

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "a" * 64


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoServer]:
    with EchoServer() as echo:
        yield echo


@pytest.fixture(scope="module")
def port(echo: EchoServer) -> int:
    """Where tunnels are taken for the echo."""
    port = free_port()
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    threading.Thread(target=take_tunnels, args=(port, echo.port, digest), daemon=True).start()
    wait_until(lambda: knocked(port), deadline=30, what="somebody who takes tunnels")
    return port


def knocked(port: int) -> bool | None:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return None
    return True


def answer(carrier: socket.socket) -> bytes:
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        more = carrier.recv(1)
        if not more:
            break
        said += more
    return said


def test_who_knows_the_token_gets_through_though_others_hold_all_that_they_can(port: int, echo: EchoServer) -> None:
    squatters = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(100)]
    carrier = socket.create_connection(("127.0.0.1", port), 5)
    carrier.sendall(TunnelOpening(TOKEN).of(0) * 2)
    assert b" 200 " in answer(carrier)
    carrier.settimeout(None)
    with RoughWay(doubles=0.2, carrier=carrier) as way:
        stream = way.outer.dial(echo.port, 10)
        assert echoed(stream, b"x" * 5000) == b"x" * 5000
        stream.close()
    for squatter in squatters:
        squatter.close()


@pytest.mark.parametrize(
    "opening",
    [TunnelOpening("b" * 64).of(0), TunnelOpening(TOKEN).of(1), b"\r\n\r\n\n", b"x" * 5000, b"", b"A: \xff\r\n\r\n{\n"],
    ids=["another's token", "no tunnel to join", "nothing", "too much", "silence", "nonsense"],
)
def test_others_are_hung_up_on(port: int, opening: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as carrier, contextlib.suppress(OSError):
        carrier.sendall(opening)  # it may be reset before all is said
        carrier.shutdown(socket.SHUT_WR)
        assert b"\0" not in answer(carrier)

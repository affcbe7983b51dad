"""A server that knows the tunnel from the start, and what goes through its own port and out of it."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.names import ENV_TTL, EXIT_EXPIRED
from pytest_fargate_sandbox.leaves.sockets import Listener
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from pytest_fargate_sandbox.server.protocol import PREFIX
from pytest_fargate_sandbox.server.requests.http1 import request_head
from pytest_fargate_sandbox.server.tunnel.tunnel_verbs import Tunnel
from tests.exec_server_process import ExecServerProcess
from tests.server.interpreters import interpreters, oldest_and_newest
from tests.server.tunnel.rough_way import RoughWay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module", params=oldest_and_newest())
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecServerProcess]:
    directory = tmp_path_factory.mktemp("tunnel")
    server = ExecServerProcess(directory, interpreters()[request.param], lessons=["tunnel.tunnel_verbs"])
    yield server
    server.close()


def way_into(server: ExecServerProcess, name: str = "mine", doubles: float = 0.1) -> RoughWay:
    """Through the server's own port, with a request that comes twice."""
    body = Tunnel(id=name).to_json()
    request = request_head(PREFIX + Tunnel.VERB, server.token, len(body)) + body
    carrier = server.connect()
    carrier.sendall(request * 2)
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += carrier.recv(1)
    assert b" 200 " in answer
    carrier.settimeout(None)
    return RoughWay(doubles=doubles, carrier=carrier)


def test_commands_are_exact_though_what_carries_them_doubles(server: ExecServerProcess) -> None:
    with way_into(server) as way:
        client = ExecClient(connect=lambda timeout: way.outer.dial(server.port, timeout), token=server.token)
        for _ in range(10):
            data = os.urandom(150_000)
            assert client.exec("sha256sum", stdin=data).stdout.split()[0] == hashlib.sha256(data).hexdigest()
        assert way.doubled > 10
        client.close()


def test_a_tunnel_that_is_opened_anew_takes_the_ports_of_the_one_before(server: ExecServerProcess) -> None:
    with way_into(server) as before, way_into(server, "another") as another:
        port = before.outer.listen(Listener("127.0.0.1", 0), ("127.0.0.1", 1), 10)
        with pytest.raises(TransportError, match="in use"):
            another.outer.listen(Listener("127.0.0.1", port), ("127.0.0.1", 1), 10)
        with way_into(server) as anew:
            assert anew.outer.listen(Listener("127.0.0.1", port), ("127.0.0.1", 1), 10) == port


def test_who_has_no_token_gets_no_tunnel(server: ExecServerProcess) -> None:
    body = Tunnel(id="x").to_json()
    with server.connect() as stranger:
        stranger.sendall(request_head(PREFIX + Tunnel.VERB, "another", len(body)) + body)
        assert b" 401 " in stranger.recv(1000)


def test_a_server_that_holds_its_time_to_live_ends_with_it(tmp_path: Path) -> None:
    began = time.monotonic()
    server = ExecServerProcess(tmp_path, environment={ENV_TTL: "1"})
    try:
        with pytest.raises(TransportError):
            server.client.exec("sleep 3")
        assert server.process.wait(60) == EXIT_EXPIRED
        assert time.monotonic() - began > 1
    finally:
        server.close()


def test_the_sockets_of_a_tunnel_are_not_the_commands(server: ExecServerProcess) -> None:
    with way_into(server) as way:
        client = ExecClient(connect=lambda timeout: way.outer.dial(server.port, timeout), token=server.token)
        seen = client.exec("ls -l /proc/self/fd").stdout
        assert "socket" not in seen
        client.close()
    with socket.create_connection(("127.0.0.1", server.port), 10):
        pass

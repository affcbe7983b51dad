"""Code in the sandbox that opens connections, to shut out the client that pays for it."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from pytest_fargate_sandbox.server.requests.guests import MAX_STRANGERS
from tests.exec_server_process import ExecServerProcess

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

FEW_FILES = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")


@pytest.fixture
def crowd(server: ExecServerProcess) -> Iterator[list[socket.socket]]:
    """300 connections that say nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(server.connect()) for _ in range(300)]


@pytest.fixture
def late_client(server: ExecServerProcess) -> Iterator[ExecClient]:
    """One that comes when the crowd is there: each of its connections is new."""
    client = ExecClient(port=server.port, token=server.token)
    yield client
    client.close()


def is_over(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_300_idle_connections_shut_nobody_out(crowd: list[socket.socket], late_client: ExecClient) -> None:
    began = time.monotonic()
    assert late_client.exec("echo in").stdout == "in\n"
    assert time.monotonic() - began < 2
    wait_until(
        lambda: sum(map(is_over, crowd)) >= len(crowd) - MAX_STRANGERS or None, deadline=30, what="an end of the oldest"
    )
    assert not is_over(crowd[-1])


@pytest.mark.usefixtures("crowd")
def test_whoever_has_the_token_stays(server: ExecServerProcess) -> None:
    """A command that runs and a connection that rests, while more strangers come than there are places."""
    results = []
    one = ExecClient(port=server.port, token=server.token)
    thread = threading.Thread(target=lambda: results.append(one.exec("sleep 1; echo still there", stdin=b"x" * 10**6)))
    thread.start()
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(server.connect())
        thread.join(20)
        assert [result.stdout for result in results] == ["still there\n"]
        assert one.exec("wc -c", stdin=b"x" * 10**6).stdout.strip() == "1000000"
    one.close()


def test_a_connection_that_asked_for_health_is_no_stranger(server: ExecServerProcess, late_client: ExecClient) -> None:
    assert late_client.health()
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(server.connect())
        assert late_client.exec("wc -c", stdin=b"x" * 10**6).stdout.strip() == "1000000"


def test_as_many_clients_as_there_are_places_come_at_once(server: ExecServerProcess) -> None:
    clients = [ExecClient(port=server.port, token=server.token) for _ in range(100)]
    results = []
    threads = [
        threading.Thread(target=lambda one=client: results.append(one.exec("sleep 0.2; echo in").stdout))  # type: ignore[misc]
        for client in clients
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == ["in\n"] * 100
    for client in clients:
        client.close()


def test_where_descriptors_are_few_strangers_have_few(tmp_path: Path) -> None:
    server = ExecServerProcess(tmp_path, inside=FEW_FILES)
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                stack.enter_context(server.connect())
            client = ExecClient(port=server.port, token=server.token)
            assert client.exec("echo in").stdout == "in\n"
            client.close()
    finally:
        server.close()

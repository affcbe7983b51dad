"""What waits for a server takes that one and no other, however it comes, and not for ever."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves import names
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.server.awaited_server import DELIVERY, TAKEN, awaiting_source, lines_of
from pytest_fargate_sandbox.server.bundle import server_command, shipped_source
from tests.free_ports import free_port
from tests.server.interpreters import interpreters, oldest_and_newest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = shipped_source("tunnel.tunnel_verbs")


@contextmanager
def awaiting(directory: Path, interpreter: str, seconds: int) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    (directory / "python3").symlink_to(interpreters()[interpreter])
    entry_point, command = server_command("image", source=awaiting_source(SOURCE))
    told = {names.ENV_SERVER_PORT: str(port), names.ENV_TOKEN_SHA256: "0" * 64, names.ENV_TTL: str(seconds)}
    with subprocess.Popen(
        [*entry_point, *command], env={**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", **told}
    ) as process:
        yield port, process


@pytest.fixture(params=oldest_and_newest())
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """Where one is awaited, for two seconds."""
    with awaiting(tmp_path, request.param, 2) as (port, process):
        yield port
        assert process.wait(60) == names.EXIT_EXPIRED


@pytest.fixture(params=oldest_and_newest())
def patient_port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    with awaiting(tmp_path, request.param, 300) as (port, process):
        yield port
        assert process.poll() is None
        process.kill()


def connection_to(port: int) -> socket.socket:
    def connected() -> socket.socket | None:
        try:
            return socket.create_connection(("127.0.0.1", port), 5)
        except ConnectionRefusedError:
            return None

    return wait_until(connected, deadline=60, what="somebody who listens")


def said_to(port: int, data: bytes) -> bytes:
    with connection_to(port) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(9999), b""))


def test_the_one_that_was_meant_is_taken_though_all_of_it_comes_twice_and_no_other_is(port: int) -> None:
    assert b" 425 " in said_to(port, b"POST /x HTTP/1.1\r\n\r\n")
    for other in ([*lines_of(SOURCE[:-4] + "AAAA", 1000)], [*lines_of(SOURCE, 1000)][1:], [b"\xff\n", b"1\n"], []):
        assert TAKEN not in said_to(port, DELIVERY + b"".join(other))
    assert said_to(port, DELIVERY * 2 + b"".join(line * 2 for line in lines_of(SOURCE, 1000))).endswith(TAKEN)
    assert b'"version"' in said_to(port, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")


def test_nobody_who_holds_connections_keeps_the_server_away(patient_port: int) -> None:
    with ExitStack() as stack:
        for held in [b"", DELIVERY[:3], DELIVERY + b"0 abc\n", DELIVERY + b"0 abc"] * 10:
            stack.enter_context(connection_to(patient_port)).sendall(held)
        assert said_to(patient_port, DELIVERY + b"".join(lines_of(SOURCE, 1000))).endswith(TAKEN)
        assert b'"version"' in said_to(patient_port, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")


def test_what_is_brought_without_end_takes_no_memory_without_end(patient_port: int) -> None:
    endless = b"".join(b"%d %s\n" % (number, b"x" * 50_000) for number in range(200))
    with connection_to(patient_port) as connection:
        connection.sendall(DELIVERY)
        with pytest.raises(ConnectionError):
            connection.sendall(endless)


def test_it_is_not_awaited_for_ever(port: int) -> None:
    assert b" 425 " in said_to(port, b"anything\n")

"""Ports of the sandbox that are reached from here: any, in every mode, for as long as it lives."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import ConfigError, Endpoint, SandboxError, SshSidecarConfig
from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from tests.sandbox.agent_image import agent_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox import EcsFargateSandbox
    from tests.engine_of_tests import EngineOfTests

SERVERS = """
import socket, threading
def serve(port):
    listener = socket.create_server(("127.0.0.1", port))
    while True:
        client, _ = listener.accept()
        client.sendall(b"at %d" % port)
        client.close()
for port in (8001, 8002):
    threading.Thread(target=serve, args=(port,)).start()
"""


def read(endpoint: Endpoint) -> bytes:
    """What is said there, as soon as something is."""

    def probe() -> bytes:
        try:
            with socket.create_connection(endpoint, timeout=30) as client:
                return client.recv(100)
        except OSError as error:
            raise NotYet(str(error)) from error

    return wait_until(probe, deadline=10, what=f"an answer at {endpoint}", longest_pause=0.05)


def test_any_ports_are_reached_from_here_until_the_sandbox_ends(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox()
    mine.start()
    one, other = mine.expose(8001), mine.expose(8002)
    with socket.create_connection(one) as early, pytest.raises(ConnectionResetError):
        early.recv(1)
    mine.spawn(["python3", "-c", SERVERS])
    assert read(one) == b"at 8001"
    assert read(other) == b"at 8002"
    assert mine.expose(8001) == one
    assert one.host == "127.0.0.1"
    assert str(one) == f"127.0.0.1:{one.port}"
    assert mine.local_port not in (None, one.port, other.port)

    tunnel = mine.ssh_tunnel
    assert tunnel is not None
    assert tunnel._connection is not None
    tunnel._connection._transport.sock.shutdown(socket.SHUT_RDWR)
    began = time.monotonic()
    assert read(one) == b"at 8001"
    assert time.monotonic() - began < 2  # a tenth of it where nothing else runs

    mine.stop()
    assert mine.local_port is None
    for endpoint in (one, other):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(endpoint)
    with pytest.raises(SandboxError, match=r"not running: start\(\)"):
        mine.expose(8001)


def test_an_agents_other_ports_are_reached_too(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    definition = agent_image(engine, SERVERS, "agent-of-two-ports")
    mine = sandbox(ssh_sidecar=SshSidecarConfig(), container_port=8001, task_definition=definition)
    mine.start()
    assert read(mine.expose(8002)) == b"at 8002"
    assert mine.expose(8001).port == mine.local_port


def test_before_its_start_a_sandbox_has_no_ports(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    mine = sandbox()
    assert mine.local_port is None
    with pytest.raises(SandboxError, match=r"not running: start\(\)"):
        mine.expose(8000)


@pytest.mark.parametrize("port", [0, -1, 65536, True, "8000", 80.0, None])
def test_what_is_no_port_is_a_config_error(sandbox: Callable[..., EcsFargateSandbox], port: Any) -> None:
    with pytest.raises(ConfigError, match="expected a port, 1 to 65535") as caught:
        sandbox().expose(port)
    assert repr(port) in str(caught.value)

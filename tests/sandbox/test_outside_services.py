"""Services outside as an agent uses them: many ways at once, while the connection is cut again and again."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import OutsideEndpoint, SshSidecarConfig
from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from tests import outside_client
from tests.fault_proxy import FaultProxy
from tests.free_ports import free_port
from tests.outside_service import OutsideService
from tests.providers.conftest import tunnel_to
from tests.real_sshd import RealSshd
from tests.sandbox.agent_image import agent_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox import EcsFargateSandbox
    from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
    from tests.engine_of_tests import EngineOfTests

CLIENT = Path(outside_client.__file__).read_text()
AGENT = f"""
import os, subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
class Agent(BaseHTTPRequestHandler):
    said = b""
    def do_GET(self):
        if self.path == "/start":
            talk = ["python3", "-c", {CLIENT!r}, os.environ["SERVICE"], os.environ["PLAIN"], "10", "1"]
            Agent.talk = subprocess.Popen(talk, stdout=subprocess.PIPE)
        else:
            Agent.said = Agent.said or Agent.talk.communicate()[0]
        self.send_response(200)
        self.send_header("Content-Length", str(len(Agent.said)))
        self.end_headers()
        self.wfile.write(Agent.said)
HTTPServer(("0.0.0.0", 8000), Agent).serve_forever()
"""


@pytest.fixture
def service() -> Iterator[OutsideService]:
    with OutsideService() as service:
        yield service


@pytest.fixture
def seconds(pytestconfig: pytest.Config) -> float:
    return 300.0 if pytestconfig.getoption("soak") else 0.5


@pytest.fixture
def talks(pytestconfig: pytest.Config) -> int:
    """A few of each kind, in a short run."""
    return 64 if pytestconfig.getoption("soak") else 10


@contextlib.contextmanager
def cutting(cut: Callable[[], None]) -> Iterator[None]:
    """Again and again, at moments that are the same in every run."""
    over, chance = threading.Event(), random.Random(7)

    def work() -> None:
        while not over.wait(chance.uniform(0.1, 0.7)):
            cut()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


def cut_of(sandbox: EcsFargateSandbox) -> Callable[[], None]:
    def cut() -> None:
        connection = sandbox.ssh_tunnel._connection  # type: ignore[union-attr]
        with contextlib.suppress(OSError):
            connection._transport.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]

    return cut


def check(said: str | bytes, count: int, tunnel: SshTunnel | None, *, some_end_short: bool = False) -> None:
    told = json.loads(said)
    print(told)
    assert (told["wrong"], told["lost"]) == (0, [])
    assert told["done"] >= count
    assert told["retried"], "it was never cut"
    assert some_end_short or not told["short"]
    assert told["longest_silence"] < 10  # several cuts; a tenth of it where nothing else runs
    callers = tunnel._reverses.callers  # type: ignore[union-attr]
    wait_until(lambda: not callers._under_way or None, deadline=10, what="the end of all relays")


def endpoints(service: OutsideService) -> list[OutsideEndpoint]:
    return [OutsideEndpoint(service.url, "SERVICE"), OutsideEndpoint(service.plain_url, "PLAIN")]


def test_many_talks_at_once_survive_cuts(
    sandbox: Callable[..., EcsFargateSandbox], service: OutsideService, seconds: float, talks: int
) -> None:
    mine = sandbox()
    mine.start(outside_endpoints=endpoints(service))
    mine.write_file("/tmp/client.py", CLIENT)
    with cutting(cut_of(mine)):
        talk = f"python3 /tmp/client.py $SERVICE $PLAIN {talks} {seconds}"
        said = mine.exec(talk, timeout_sec=seconds + 60, check=True).stdout
    check(said, talks, mine.ssh_tunnel)


def test_an_agents_talks_survive_cuts(
    sandbox: Callable[..., EcsFargateSandbox], service: OutsideService, engine: EngineOfTests
) -> None:
    definition = agent_image(engine, AGENT, "talking-agent")
    mine = sandbox(ssh_sidecar=SshSidecarConfig(), container_port=8000, task_definition=definition)
    mine.start(outside_endpoints=endpoints(service))
    agent = mine.expose(8000)

    def asked(what: str) -> bytes:
        try:
            with urllib.request.urlopen(f"http://{agent}/{what}", timeout=30) as answer:
                return bytes(answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise NotYet(str(error)) from error

    assert asked("start") == b""
    with cutting(cut_of(mine)):
        said = wait_until(lambda: asked("result"), deadline=60, what="what the agent heard")
    check(said, 10, mine.ssh_tunnel)


def test_through_openssh_talks_survive_cuts(
    service: OutsideService, seconds: float, talks: int, tmp_path: Path
) -> None:
    """Whose sshd makes an ordinary end of every cut."""
    ports = [free_port(), free_port()]
    targets = [url.rpartition(":")[2] for url in (service.url, service.plain_url)]
    reverses = [f"{port}:127.0.0.1:{target}" for port, target in zip(ports, targets, strict=True)]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    talk = [sys.executable, outside_client.__file__, *urls, str(talks), str(seconds)]
    sshd = RealSshd(tmp_path)
    try:
        with FaultProxy(("127.0.0.1", sshd.port)) as proxy, tunnel_to(sshd, proxy.port, reverses=reverses) as tunnel:
            with cutting(proxy.cut):
                said = subprocess.run(talk, stdout=subprocess.PIPE, check=True, timeout=seconds + 60).stdout
            check(said, talks, tunnel, some_end_short=True)
    finally:
        sshd.kill()

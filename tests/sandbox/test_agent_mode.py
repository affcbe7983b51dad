"""Agent-server mode: the image's own command runs, reaches out through the tunnel, and is reached at a local port."""

from __future__ import annotations

import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, OutsideEndpoint, SshSidecarConfig
from pytest_fargate_sandbox.leaves.errors import ConfigError, StartError
from tests.sandbox.agent_image import agent_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.engine_of_tests import EngineOfTests

AGENT = """
import os, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
first = urllib.request.urlopen(os.environ["MODEL"], timeout=10).read()   # from its very first instruction
class Agent(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(first + b" then " + urllib.request.urlopen(os.environ["OTHER"], timeout=10).read())
        self.wfile.write(b" and " + os.environ["ID"].encode())
    def log_message(self, *args): pass
HTTPServer(("0.0.0.0", 8000), Agent).serve_forever()
"""


class _Outside:
    """A service on our side that says which path it was asked for."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(f"outside {self.path}".encode())

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def outside() -> Iterator[_Outside]:
    service = _Outside()
    yield service
    service.close()


def test_an_agent_reaches_out_and_is_reached(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests, outside: _Outside
) -> None:
    definition = agent_image(engine, AGENT, "agent")
    mine = sandbox(
        "agent-1",
        ssh_sidecar=SshSidecarConfig(),
        container_port=8000,
        task_definition=definition,
        extra_env={"ID": "{task_id}"},
    )
    endpoints = [OutsideEndpoint(f"{outside.url}/v1?a=b", "MODEL"), OutsideEndpoint(f"{outside.url}/two", "OTHER")]
    mine.start(outside_endpoints=endpoints)
    with urllib.request.urlopen(f"http://127.0.0.1:{mine.local_port}/", timeout=10) as answer:
        assert answer.read() == b"outside /v1?a=b then outside /two and agent-1"
    assert mine.resolve_outside_endpoint(f"{outside.url}/x") == f"http://127.0.0.1:{mine.model_tunnel_port}/x"
    assert mine.exec_client is None


@pytest.fixture(scope="module")
def quiet(_engine_of_tests: EngineOfTests) -> Iterator[EcsFargateSandbox]:
    """An agent that nobody does anything to."""
    definition = agent_image(_engine_of_tests, "import http.server as h; h.test(port=8000)", "quiet-agent")
    cfg = EcsFargateConfig(
        cluster="local", ssh_sidecar=SshSidecarConfig(), container_port=8000, task_definition=definition
    )
    with EcsFargateSandbox(cfg, task_id="quiet", run_id="run") as sandbox:
        sandbox.start()
        yield sandbox


@pytest.mark.parametrize(
    "act",
    [
        lambda mine: mine.exec("true"),
        lambda mine: mine.upload("/etc/hostname", "/tmp/x"),
        lambda mine: mine.download("/etc/hostname", "/tmp/x"),
        lambda mine: mine.spawn("true"),
    ],
    ids=["exec", "upload", "download", "spawn"],
)
def test_commands_and_files_say_that_they_need_the_other_mode(
    quiet: EcsFargateSandbox, act: Callable[[Any], None]
) -> None:
    with pytest.raises(ConfigError, match="exec-server mode"):
        act(quiet)


def test_an_agent_that_dies_is_told_with_its_exit_code_and_its_last_words(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    definition = agent_image(engine, "import sys; print('no model today'); sys.exit(5)", "dying-agent")
    mine = sandbox(ssh_sidecar=SshSidecarConfig(), container_port=8000, task_definition=definition)
    with pytest.raises(StartError, match="no model today") as caught:
        mine.start()
    assert caught.value.exit_codes["main"] == 5
    assert "no model today" in caught.value.log_tail


def test_an_agent_that_does_not_listen_is_told_after_its_time(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests
) -> None:
    definition = agent_image(engine, "import time; time.sleep(100)", "deaf-agent")
    sidecar = SshSidecarConfig(ssh_ready_timeout_sec=1)
    mine = sandbox(ssh_sidecar=sidecar, container_port=8000, task_definition=definition)
    before = set(engine.alive())
    with pytest.raises(StartError, match="nothing answers at port 8000") as caught:
        mine.start()
    assert caught.value.phase == "server"
    assert set(engine.alive()) <= before


def test_exec_server_mode_has_outside_endpoints_too(
    sandbox: Callable[..., EcsFargateSandbox], outside: _Outside
) -> None:
    mine = sandbox(extra_env={"PORT": "{ssh_tunnel_port}"})
    mine.start(outside_endpoints=[OutsideEndpoint(f"{outside.url}/v1", "MODEL")])
    script = "import os,urllib.request as u; print(u.urlopen(os.environ['MODEL']).read().decode(), os.environ['PORT'])"
    result = mine.exec(["python3", "-c", script], check=True)
    assert result.stdout == f"outside /v1 {mine.model_tunnel_port}\n"

"""What chaos is let loose on: real ways into real containers and servers, each behind a proxy that misbehaves."""

from __future__ import annotations

import dataclasses
import re
import urllib.parse
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_fargate_sandbox import EcsFargateSandbox
from pytest_fargate_sandbox.providers.ssm import session_carrier
from pytest_fargate_sandbox.providers.ssm.ssm_tunnel import SsmTunnel
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from tests.exec_server_process import ExecServerProcess, LoopbackSandbox
from tests.fault_proxy import FaultProxy
from tests.providers.conftest import tunnel_to
from tests.real_sshd import RealSshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from tests.engine_of_tests import EngineOfTests


_A_MOMENT = 0.15


class System(NamedTuple):
    name: str
    sandbox: Any
    """Its verbs are those of ``EcsFargateSandbox``."""
    place: str
    """A directory there for what the commands write down."""
    proxy: FaultProxy
    """What goes there and comes back goes through it."""
    outlives_cuts: bool = False
    """Whether its streams do."""

    @property
    def is_settled(self) -> bool:
        """Whether a connection has lived for a moment: else, on a machine that is slow, nobody ever gets far."""
        return self.proxy.carries_since(_A_MOMENT)

    def calm_down(self) -> None:
        """As many idle connections as there were threads are one again, which the next command makes."""
        self.proxy.cut()
        self.proxy.cut_swallowed()
        if self.outlives_cuts:
            self.sandbox.reconnect_tunnel()


@contextmanager
def fargate(cfg: EcsFargateConfig, dead_after: float) -> Iterator[System]:
    """The whole of it: a task on the embedded Fargate, with the engine's sidecar."""
    with EcsFargateSandbox(cfg, task_id="chaos", run_id="chaos") as sandbox:
        sandbox.start()
        with led_through_a_proxy(sandbox, dead_after) as proxy:
            sandbox.exec("mkdir /tmp/chaos", check=True)
            yield System("embedded Fargate", sandbox, "/tmp/chaos", proxy)


@contextmanager
def in_a_session(engine: EngineOfTests, cfg: EcsFargateConfig, dead_after: float) -> Iterator[System]:
    """A task that the Session Manager leads to; its messages come twice, and acknowledgements get lost, as well."""
    name = "ECS Exec mode" if cfg.ecs_exec else "SSH through the Session Manager"
    engine.fault(ssm_double=1e6, ssm_lost_ack=1e6)
    try:
        with EcsFargateSandbox(cfg, task_id="chaos", run_id="chaos") as sandbox:
            sandbox.start()
            with led_through_a_proxy(sandbox, dead_after) as proxy:
                proxy.cut()  # which asks the control plane over a connection that is kept
                sandbox.exec("mkdir /tmp/chaos", check=True)
                yield System(name, sandbox, "/tmp/chaos", proxy, outlives_cuts=cfg.ecs_exec)
    finally:
        engine.fault(ssm_double=0, ssm_lost_ack=0)


class _Rerouted:
    """An account whose sessions are at another port."""

    def __init__(self, aws: Aws, port: int) -> None:
        self._aws, self._port = aws, port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._aws, name)

    def call_once(self, service: str, operation: str, **asked: Any) -> Any:
        answer = self._aws.call_once(service, operation, **asked)
        if "StreamUrl" in answer:
            answer["StreamUrl"] = re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{self._port}", answer["StreamUrl"])
        return answer


@contextmanager
def _session_led_through_a_proxy(way: SsmTunnel, dead_after: float) -> Iterator[FaultProxy]:
    assert way._connection is not None
    gateway = urllib.parse.urlsplit(way._connection._carriers[0]._session.url)
    with FaultProxy(("127.0.0.1", gateway.port or 0)) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_carrier, "_SILENT_SEC", dead_after)
        patch.setattr(way, "_aws", _Rerouted(way._aws, proxy.port))
        way.reconnect()
        yield proxy


@contextmanager
def led_through_a_proxy(sandbox: EcsFargateSandbox, dead_after: float) -> Iterator[FaultProxy]:
    """What goes to the task and comes from it takes another way from now on."""
    way: Any = sandbox.running().connection.tunnel
    way = getattr(way, "_way", way)
    if isinstance(way, SsmTunnel):
        with _session_led_through_a_proxy(way, dead_after) as proxy:
            yield proxy
        return
    tunnel = sandbox.ssh_tunnel
    assert tunnel is not None
    with FaultProxy((tunnel._server.host, tunnel._server.port)) as proxy:
        tunnel._server = dataclasses.replace(tunnel._server, host="127.0.0.1", port=proxy.port, dead_after=dead_after)
        sandbox.reconnect_tunnel()
        yield proxy


@contextmanager
def openssh(directory: Path, dead_after: float, *, by_local_port: bool = False) -> Iterator[System]:
    """OpenSSH's sshd, and behind it the exec server; ``by_local_port`` each connection is a relay of the tunnel."""
    sshd = RealSshd(directory)
    server = ExecServerProcess(directory)
    try:
        with (
            FaultProxy(("127.0.0.1", sshd.port)) as proxy,
            tunnel_to(sshd, proxy.port, forward_port=server.port, dead_after=dead_after) as tunnel,
        ):
            if by_local_port:
                client = ExecClient(port=tunnel.local_port, token=server.token)
            else:
                client = ExecClient(token=server.token, connect=lambda timeout: tunnel.dial(server.port, timeout))
            name = "OpenSSH, by a local port" if by_local_port else "OpenSSH"
            yield System(name, LoopbackSandbox(client), str(directory), proxy)
            client.close()
    finally:
        server.close()
        sshd.kill()

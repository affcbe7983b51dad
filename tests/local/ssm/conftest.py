"""Tasks with ECS Exec on the engine of these tests, and sessions with them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from tests.components import need
from tests.local.engine_process import EngineProcess, container
from tests.local.ssm.session_peer import SessionPeer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TASK_ROLE = "arn:aws:iam::123456789012:role/task"
IDLE_SEC = 30.0
PORT, SLEEPY_PORT, GREETING_PORT = 7000, 7001, 7002
_SERVE = f"""
import socket, threading, time
def listen(port, serve):
    listener = socket.create_server(("127.0.0.1", port), backlog=512)
    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
def echo(connection):
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)
def sleep(connection):
    while not connection.recv(1, socket.MSG_PEEK).startswith(b"!"):
        time.sleep(0.05)
def greet(connection):
    connection.sendall(b"hello" * 100)
    connection.close()
listen({PORT}, echo)
listen({SLEEPY_PORT}, sleep)
listen({GREETING_PORT}, greet)
time.sleep(1000)
"""
"""An echo, one that reads nothing, and one that says something and goes."""


@dataclass
class ExecTask:
    """A task whose agent is there."""

    engine: EngineProcess
    arn: str
    target: str

    def start(self, port: int = PORT) -> dict[str, str]:
        """A port session, as StartSession tells of it."""
        return self.engine.client("ssm").start_session(
            Target=self.target,
            DocumentName="AWS-StartPortForwardingSession",
            Parameters={"portNumber": [str(port)], "localPortNumber": ["0"]},
        )

    def connect(self, port: int = PORT, **options: Any) -> SessionPeer:
        peer = SessionPeer(self.start(port), **options)
        peer.shake_hands()
        return peer

    def run(self, command: str) -> SessionPeer:
        answer = self.engine.ecs.execute_command(cluster="local", task=self.arn, command=command, interactive=True)
        session = answer["session"]
        return SessionPeer({"StreamUrl": session["streamUrl"], "TokenValue": session["tokenValue"]})


def launch(engine: EngineProcess, **fields: Any) -> ExecTask:
    definition = engine.register(container(**fields), taskRoleArn=TASK_ROLE)
    arn = engine.launch(definition, enableExecuteCommand=True)
    return ExecTask(engine, arn, wait_for_agent(engine, arn))


def wait_for_agent(engine: EngineProcess, arn: str, status: str = "RUNNING") -> str:
    """The target of the task's first container, when its agent has that status."""

    def probe() -> str:
        described = engine.describe(arn)["containers"][0]
        (agent,) = described["managedAgents"]
        if agent["lastStatus"] != status:
            raise NotYet(str(agent))
        return f"ecs:local_{arn.rpartition('/')[2]}_{described['runtimeId']}"

    return wait_until(probe, deadline=20, what=f"an agent that is {status}")


@pytest.fixture(scope="package")
def ssm_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    need("namespaces")
    log = tmp_path_factory.mktemp("engine") / "log.jsonl"
    process = EngineProcess("--runner", "namespaces", "--session-idle", str(IDLE_SEC), log=log)
    yield process
    assert process.log_lines("error") == []
    assert process.close() == 0


@pytest.fixture(scope="package")
def task(ssm_engine: EngineProcess) -> ExecTask:
    """One task for all who leave it as it was."""
    return launch(ssm_engine, entryPoint=["python3", "-c", _SERVE], command=[])


@pytest.fixture
def faults(ssm_engine: EngineProcess) -> Iterator[Callable[..., None]]:
    """Those of a test, and none behind it."""
    asked: set[str] = set()

    def set_faults(**values: float) -> None:
        asked.update(values)
        ssm_engine.set_faults(**values)

    yield set_faults
    ssm_engine.set_faults(**dict.fromkeys(asked, 0))


def wait_a_moment() -> None:
    """For what is not to happen."""
    time.sleep(0.3)

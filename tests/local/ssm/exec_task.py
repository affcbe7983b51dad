"""A task with ECS Exec, and sessions with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from tests.local.engine_process import container
from tests.local.ssm.session_peer import SessionPeer, Streams

if TYPE_CHECKING:
    from tests.local.engine_process import EngineProcess

TASK_ROLE = "arn:aws:iam::123456789012:role/task"
PORT = 7000
"""Where an echo answers."""


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

    def wait_for_echo(self) -> ExecTask:
        """The program that serves may take longer to start than the agent."""
        streams = Streams(self.connect())

        def probe() -> ExecTask:
            number = streams.open()
            streams.send(number, b"?")
            if not streams.receive_or_end(number, 1):
                raise NotYet("refused")
            return self

        try:
            return wait_until(probe, deadline=20, what="an echo in the task")
        finally:
            streams.peer.close()

    def run(self, command: str) -> SessionPeer:
        return SessionPeer(self.open(command))

    def open(self, command: str) -> dict[str, str]:
        answer = self.engine.ecs.execute_command(cluster="local", task=self.arn, command=command, interactive=True)
        return opened_by_ecs(answer["session"])


def opened_by_ecs(session: dict[str, str]) -> dict[str, str]:
    """As StartSession would tell it."""
    return {name[:1].upper() + name[1:]: value for name, value in session.items()}


def launch(engine: EngineProcess, **fields: Any) -> ExecTask:
    definition = engine.register(container(**fields), taskRoleArn=TASK_ROLE)
    arn = engine.launch(definition, enableExecuteCommand=True)
    return ExecTask(engine, arn, wait_for_agent(engine, arn))


def wait_for_agent(engine: EngineProcess, arn: str, status: str = "RUNNING", container: str = "main") -> str:
    """The target of the container, when its agent has that status."""

    def probe() -> str:
        (described,) = [each for each in engine.describe(arn)["containers"] if each["name"] == container]
        (agent,) = described["managedAgents"]
        if agent["lastStatus"] != status:
            raise NotYet(str(agent))
        return f"ecs:local_{arn.rpartition('/')[2]}_{described['runtimeId']}"

    return wait_until(probe, deadline=20, what=f"an agent that is {status}")

"""Port sessions, as the control plane has them: started, resumed with fresh credentials, and ended.

An end needs no call where the client can say it in the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import TransportError

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError

PORT_FORWARDING = "AWS-StartPortForwardingSession"


def session_target(task_arn: str, runtime_id: str) -> str:
    """How the Session Manager calls a container of a task that has the agent.

    https://github.com/aws/containers-roadmap/issues/1446
    """
    _, cluster, task_id = task_arn.rsplit("/", 2)
    return f"ecs:{cluster}_{task_id}_{runtime_id}"


@dataclass(frozen=True)
class StartedSession:
    id: str
    token: str
    url: str


def start_session(aws: Aws, target: str, port: int) -> StartedSession:
    """Raises ``AwsError``; of an agent that is not there yet, ``is_not_connected``."""
    answer = aws.call_once(
        "ssm",
        "StartSession",
        Target=target,
        DocumentName=PORT_FORWARDING,
        Parameters={"portNumber": [str(port)], "localPortNumber": ["0"]},
    )
    return StartedSession(answer["SessionId"], answer["TokenValue"], answer["StreamUrl"])


def execute_command(aws: Aws, target: str, command: str) -> StartedSession:
    """A session on a terminal on which this runs, as root. Raises ``AwsError``."""
    # No part of a target has an underscore but the name of a cluster: an ID is of hexadecimal digits.
    cluster, task, runtime = target.removeprefix("ecs:").rsplit("_", 2)
    named: dict[str, str] = {}
    for each in aws.call("ecs", "DescribeTasks", cluster=cluster, tasks=[task])["tasks"]:
        named = {
            container["runtimeId"]: container["name"] for container in each["containers"] if "runtimeId" in container
        }
    asked = {"cluster": cluster, "task": task, "command": command, "interactive": True}
    if runtime in named:
        asked["container"] = named[runtime]
    answer = aws.call_once("ecs", "ExecuteCommand", **asked)["session"]
    return StartedSession(answer["sessionId"], answer["tokenValue"], answer["streamUrl"])


def fresh_token(aws: Aws, session: StartedSession) -> str:
    """For another connection of the same session. Raises ``TransportError`` where there is no session any more."""
    token = aws.call_once("ssm", "ResumeSession", SessionId=session.id).get("TokenValue")
    if not token:
        raise TransportError("the session is over: the Session Manager has no token for it any more")
    return str(token)


def terminate_session(aws: Aws, session_id: str) -> None:
    """Harmless where it has ended. Raises ``AwsError``."""
    aws.call_once("ssm", "TerminateSession", SessionId=session_id)


def is_not_connected(error: AwsError) -> bool:
    # The second is ECS's word for it.
    return error.code in ("TargetNotConnected", "TargetNotConnectedException")


def is_denied(error: AwsError) -> bool:
    return error.code in ("AccessDenied", "AccessDeniedException")

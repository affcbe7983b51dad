"""ECS's ExecuteCommand: whom it refuses, and the session that it opens.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ExecuteCommand.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.ecs.refusals import InvalidParameter, TargetNotConnected
from pytest_fargate_sandbox.local.ssm.agent_life import target_of
from pytest_fargate_sandbox.local.ssm.session_manager import NotConnected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.local.ecs.engine_task import EngineContainer, EngineTask
    from pytest_fargate_sandbox.local.ssm.session_manager import SessionManager

_PREFIX = "ecs-execute-command"
_NO_AGENT = (
    "The execute command failed because execute command was not enabled when the task was run or the execute command "
    "agent isn't running. Wait and try again or run a new task with execute command enabled and try again."
)
_NOT_CONNECTED = "The execute command failed due to an internal error. Try again later."
_NO_KEY = "The embedded Fargate encrypts no sessions, and this cluster's executeCommandConfiguration names a KMS key."


def check_execute_command(request: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
    """``configuration`` is the cluster's. Raises ``InvalidParameter``."""
    if not request.get("interactive"):
        raise InvalidParameter("Interactive is the only mode supported currently.")
    if not request.get("command"):
        raise InvalidParameter("The command can not be empty.")
    if (configuration.get("executeCommandConfiguration") or {}).get("kmsKeyId"):
        raise InvalidParameter(_NO_KEY)


def execute_command(sessions: SessionManager, task: EngineTask, request: Mapping[str, Any]) -> dict[str, Any]:
    container = _container_of(task, request.get("container"))
    if container.agent is None or container.agent.last_status != "RUNNING":
        raise InvalidParameter(_NO_AGENT)
    properties = {"command": request["command"]}
    try:
        opened = sessions.start(target_of(task, container), _PREFIX, "InteractiveCommands", properties)
    except NotConnected:
        raise TargetNotConnected(_NOT_CONNECTED) from None
    return {
        "clusterArn": task.placement.cluster_arn,
        "containerArn": container.arn,
        "containerName": container.name,
        "interactive": True,
        "session": {"sessionId": opened.session_id, "streamUrl": opened.stream_url, "tokenValue": opened.token},
        "taskArn": task.task_arn,
    }


def _container_of(task: EngineTask, name: str | None) -> EngineContainer:
    named = [container for container in task.containers if name in (None, container.name)]
    if not named:
        raise InvalidParameter(f"The container {name} is not part of the task.")
    if len(named) > 1:
        raise InvalidParameter("The task has several containers: name the one to run the command in.")
    return named[0]

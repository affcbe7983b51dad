"""When a container's agent of ECS Exec comes up, where it may, and what DescribeTasks tells of it."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.runners.runner_contract import CannotStart
from pytest_fargate_sandbox.local.ssm.agent_link import AgentLink
from pytest_fargate_sandbox.local.ssm.role_rights import lets_the_agent_connect

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.ecs.engine_task import EngineContainer, EngineTask
    from pytest_fargate_sandbox.local.runners.runner_contract import ContainerSpec, RunningTask
    from pytest_fargate_sandbox.local.ssm.session_manager import SessionManager

_PLACES = ("/var/lib/amazon/ssm", "/var/log/amazon/ssm")
"""What the agent writes to: where the root cannot be written, volumes will do.

https://github.com/aws/containers-roadmap/issues/1359
"""
_ITS_OWN_KEYS = "AWS_ACCESS_KEY_ID"
"""In a container's environment they take the place of the task role's.

https://github.com/aws-containers/amazon-ecs-exec-checker
"""


@dataclass
class ManagedAgent:
    """Of one container. ``last_status`` is ECS's word."""

    last_status: str = "PENDING"
    reason: str = ""
    started_at: datetime | None = None

    def becomes(self, status: str, reason: str) -> None:
        self.last_status, self.reason = status, reason
        if status == "RUNNING":
            self.started_at = datetime.now(timezone.utc)

    def describe(self) -> dict[str, Any]:
        told: dict[str, Any] = {"name": "ExecuteCommandAgent", "lastStatus": self.last_status}
        if self.reason:
            told["reason"] = self.reason
        if self.started_at is not None:
            told["lastStartedAt"] = self.started_at
        return told


def target_of(task: EngineTask, container: EngineContainer) -> str:
    """How StartSession names it."""
    cluster = task.placement.cluster_arn.rpartition("/")[2]
    return f"ecs:{cluster}_{task.id}_{container.runtime_id}"


class AgentLife:
    """Of the agent in one container, from the moment that runs."""

    def __init__(
        self, sessions: SessionManager, task: EngineTask, container: EngineContainer, spec: ContainerSpec
    ) -> None:
        self._sessions, self._task, self._container, self._spec = sessions, task, container, spec
        self._target = target_of(task, container)
        self._lock = threading.Lock()
        self._has_ended = False

    def start_later(self, running: RunningTask, delay: tuple[float, float]) -> None:
        threading.Thread(
            target=self._start, args=(running, random.uniform(*delay)), name="ssm-agent-start", daemon=True
        ).start()

    def end(self) -> None:
        """The container has."""
        with self._lock:
            self._has_ended = True
        self._sessions.container_ended(self._target)
        self._task.agent_becomes(self._container, "STOPPED", "Received Container Exit event")

    def _start(self, running: RunningTask, delay: float) -> None:
        task, container = self._task, self._container
        with task.changed:
            if task.changed.wait_for(lambda: task.is_ending or container.is_stopped, delay):
                return
        try:
            why_not = self._why_not()
            if not why_not:
                self._come_up(running)
        except Exception as error:  # whatever it is, no agent will come any more
            why_not = str(error) if isinstance(error, CannotStart) else repr(error)
        if why_not:
            task.agent_becomes(container, "STOPPED", why_not)

    def _come_up(self, running: RunningTask) -> None:
        if self._has_credentials():
            link = AgentLink(self._sessions.session_ended)
            link.start(running, self._container.name)
            with self._lock:
                if self._has_ended:
                    link.close()
                    return
                self._sessions.agent_connected(self._target, link)
        self._task.agent_becomes(self._container, "RUNNING")

    def _has_credentials(self) -> bool:
        """Without them it runs all the same, and is refused wherever it calls."""
        return _ITS_OWN_KEYS not in self._spec.environment and lets_the_agent_connect(self._task.placement.task_role)

    def _why_not(self) -> str:
        if not self._spec.read_only_root:
            return ""
        writable = {mount.path.rstrip("/") for mount in self._spec.mounts if not mount.read_only}
        missing = [place for place in _PLACES if place not in writable]
        if not missing:
            return ""
        return f"The agent cannot write below {' and '.join(missing)}: the container's root file system is read-only"

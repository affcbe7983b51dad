"""A task and its containers: what is known of them, and how DescribeTasks tells it."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.local.call_journal import CallJournal
    from pytest_fargate_sandbox.local.ssm.agent_life import ManagedAgent

STOPPED_TASK_LIFE_SEC = 3600.0
"""How long a stopped task can be described, as on AWS."""


def now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class EngineContainer:
    """One container of a task: its definition with the overrides applied, and its state."""

    definition: Mapping[str, Any]
    arn: str
    last_status: str = "PENDING"
    exit_code: int | None = None
    reason: str = ""
    health: str = "UNKNOWN"
    agent: ManagedAgent | None = None
    """Of ECS Exec, where that is enabled."""
    runtime_id: str = field(default_factory=lambda: f"{uuid.uuid4().hex}-{uuid.uuid4().int % 10**10:010d}")

    @property
    def name(self) -> str:
        return str(self.definition["name"])

    @property
    def essential(self) -> bool:
        return bool(self.definition.get("essential", True))

    @property
    def was_started(self) -> bool:
        return self.last_status != "PENDING"

    @property
    def is_running(self) -> bool:
        return self.last_status == "RUNNING"

    @property
    def is_stopped(self) -> bool:
        return self.last_status == "STOPPED"

    def describe(self, task_arn: str, interfaces: list[dict[str, str]]) -> dict[str, Any]:
        described = {
            "containerArn": self.arn,
            "taskArn": task_arn,
            "name": self.name,
            "image": self.definition["image"],
            "lastStatus": self.last_status,
            "networkBindings": [],
            "networkInterfaces": interfaces,
            "healthStatus": self.health,
            "cpu": str(self.definition.get("cpu", 0)),
        }
        if self.agent is not None:
            described["managedAgents"] = [self.agent.describe()]
        if self.was_started:
            described["runtimeId"] = self.runtime_id
        if self.exit_code is not None:
            described["exitCode"] = self.exit_code
        if self.reason:
            described["reason"] = self.reason
        for key in ("memory", "memoryReservation"):
            if self.definition.get(key) is not None:
                described[key] = str(self.definition[key])
        return described


@dataclass(frozen=True)
class Placement:
    """Where RunTask asked the task to run, and under what names."""

    cluster_arn: str
    definition_arn: str
    group: str
    availability_zone: str
    cpu: str
    memory: str
    storage_gib: int
    subnet: str
    security_groups: tuple[str, ...]
    public_address: bool
    overrides: Mapping[str, Any]
    started_by: str
    launch_type: str
    capacity_provider: str
    platform_version: str
    volumes: tuple[str, ...]
    execute_command: bool
    task_role: str


class EngineTask:
    """The state that the life of a task writes and the API reads. ``changed`` guards it and tells of every change."""

    def __init__(
        self,
        task_id: str,
        arn: str,
        placement: Placement,
        containers: list[EngineContainer],
        tags: list[dict[str, str]],
        journal: CallJournal,
    ) -> None:
        self.id = task_id
        self.task_arn = arn
        self.placement = placement
        self.containers = containers
        self.tags = tags
        self.last_status = "PROVISIONING"
        self.desired_status = "RUNNING"
        self.stop_code = ""
        self.stopped_reason = ""
        self.times: dict[str, datetime] = {"createdAt": now()}
        self.attachment: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "type": "ElasticNetworkInterface",
            "status": "PRECREATED",
            "details": [{"name": "subnetId", "value": placement.subnet}],
        }
        self.changed = threading.Condition(threading.RLock())
        self._version = 1
        self._journal = journal
        self._write(started_by=placement.started_by, definition=placement.definition_arn)

    # --- what the task's life says -------------------------------------------------------------------------------

    def becomes(self, status: str, *time_keys: str, **more: Any) -> None:
        with self.changed:
            self.last_status = status
            self.mark(*time_keys)
            self._notify()
        self._write(**more)

    def mark(self, *time_keys: str) -> None:
        with self.changed:
            for key in time_keys:
                self.times.setdefault(key, now())

    def container_becomes(self, container: EngineContainer, status: str, **fields: Any) -> None:
        with self.changed:
            container.last_status = status
            for key, value in fields.items():
                setattr(container, key, value)
            self._notify()

    def health_becomes(self, container: EngineContainer, health: str) -> None:
        with self.changed:
            container.health = health
            self._notify()

    def agent_becomes(self, container: EngineContainer, status: str, reason: str = "") -> None:
        with self.changed:
            if container.agent is not None and container.agent.last_status != "STOPPED":
                container.agent.becomes(status, reason)
            self._notify()

    def request_stop(self, code: str, reason: str) -> bool:
        """The task shall end, for the first reason that anybody gave; False when it was ending already."""
        with self.changed:
            if self.desired_status == "STOPPED":
                return False
            self.desired_status, self.stop_code, self.stopped_reason = "STOPPED", code, reason
            self.mark("stoppingAt")
            self._notify()
        return True

    @property
    def is_ending(self) -> bool:
        return self.desired_status == "STOPPED"

    @property
    def is_stopped(self) -> bool:
        return self.last_status == "STOPPED"

    def wait_until_ending(self, timeout: float | None) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.is_ending, timeout)

    def wait_until_stopped(self, timeout: float | None) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.is_stopped, timeout)

    def tag(self, key: str) -> str:
        return next((tag.get("value", "") for tag in self.tags if tag["key"] == key), "")

    def _notify(self) -> None:
        self._version += 1
        self.changed.notify_all()

    def _write(self, **more: Any) -> None:
        ended: dict[str, Any] = {}
        if self.stopped_reason:
            ended = {"stop_code": self.stop_code, "reason": self.stopped_reason}
        if self.is_stopped:
            ended["exit_codes"] = {container.name: container.exit_code for container in self.containers}
        self._journal.task(self.task_arn, self.last_status, **ended, **more)

    # --- what the API tells --------------------------------------------------------------------------------------

    @property
    def health(self) -> str:
        checked = [c.health for c in self.containers if c.essential and c.definition.get("healthCheck")]
        for status in ("UNHEALTHY", "UNKNOWN"):
            if status in checked:
                return status
        return "HEALTHY" if checked else "UNKNOWN"

    def describe(self) -> dict[str, Any]:
        with self.changed:
            return self._describe()

    def _describe(self) -> dict[str, Any]:
        place = self.placement
        interfaces = self._interfaces()
        described: dict[str, Any] = {
            "attachments": [{**self.attachment, "details": [*self.attachment["details"]]}],
            "attributes": [{"name": "ecs.cpu-architecture", "value": "x86_64"}],
            "availabilityZone": place.availability_zone,
            "clusterArn": place.cluster_arn,
            "containers": [container.describe(self.task_arn, interfaces) for container in self.containers],
            "cpu": place.cpu,
            "memory": place.memory,
            "desiredStatus": self.desired_status,
            "enableExecuteCommand": place.execute_command,
            "ephemeralStorage": {"sizeInGiB": place.storage_gib},
            "group": place.group,
            "healthStatus": self.health,
            "lastStatus": self.last_status,
            "launchType": place.launch_type,
            "overrides": place.overrides,
            "platformFamily": "Linux",
            "platformVersion": place.platform_version,
            "tags": self.tags,
            "taskArn": self.task_arn,
            "taskDefinitionArn": place.definition_arn,
            "version": self._version,
            **self.times,
        }
        optional = {
            "capacityProviderName": place.capacity_provider,
            "startedBy": place.started_by,
            "stopCode": self.stop_code,
            "stoppedReason": self.stopped_reason,
            "connectivity": "CONNECTED" if "connectivityAt" in self.times else "",
        }
        return {**described, **{key: value for key, value in optional.items() if value}}

    def _interfaces(self) -> list[dict[str, str]]:
        details = {detail["name"]: detail["value"] for detail in self.attachment["details"]}
        if "privateIPv4Address" not in details:
            return []
        return [{"attachmentId": self.attachment["id"], "privateIpv4Address": details["privateIPv4Address"]}]

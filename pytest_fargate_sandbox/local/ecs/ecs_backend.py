"""ECS as Fargate does it: clusters, definitions and tags are moto's; tasks are ours, and really run."""

from __future__ import annotations

import json
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from moto.ecs.exceptions import ClusterNotFoundException
from moto.ecs.models import EC2ContainerServiceBackend

from pytest_fargate_sandbox.local.ecs.account_limits import RATE_EXCEEDED
from pytest_fargate_sandbox.local.ecs.container_spec import apply_override
from pytest_fargate_sandbox.local.ecs.engine_task import (
    STOPPED_TASK_LIFE_SEC,
    EngineContainer,
    EngineTask,
    Placement,
    now,
)
from pytest_fargate_sandbox.local.ecs.refusals import (
    ClientException,
    Conflict,
    InvalidParameter,
    ServerException,
    Throttled,
)
from pytest_fargate_sandbox.local.ecs.run_task_rules import (
    check_network,
    check_overridden,
    check_overrides,
    check_platform,
    check_roles,
    check_run_task,
    effective_size,
)
from pytest_fargate_sandbox.local.ecs.task_life import TaskLife
from pytest_fargate_sandbox.local.ecs.vpc import availability_zone
from pytest_fargate_sandbox.local.ssm.agent_life import ManagedAgent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from moto.ecs.models import Cluster, TaskDefinition

    from pytest_fargate_sandbox.local.ecs.task_life import EngineParts

FARGATE_PROVIDERS = ("FARGATE", "FARGATE_SPOT")
_DEFAULT_STORAGE_GIB = 20
_TOKEN_LIFE_SEC = 24 * 3600.0
_NO_CAPACITY = "Capacity is unavailable at this time. Please try again later or in a different availability zone"


class FargateBackend(EC2ContainerServiceBackend):
    """One region's ECS. ``surroundings`` are what its tasks live in."""

    def __init__(self, region_name: str, account_id: str, surroundings: EngineParts) -> None:
        super().__init__(region_name, account_id)
        self._surroundings = surroundings
        self.sessions = surroundings.sessions
        self._lock = threading.RLock()
        self._by_token: dict[tuple[str, str], tuple[float, str, list[EngineTask]]] = {}
        self._missing: dict[str, int] = {}
        self._tasks: dict[str, EngineTask] = {}

    # --- tasks ---------------------------------------------------------------------------------------------------

    def all_tasks(self) -> list[EngineTask]:
        """Every task that can still be described."""
        with self._lock:
            return list(self._tasks.values())

    def _forget_old_tasks(self) -> None:
        self._tasks = {arn: task for arn, task in self._tasks.items() if not _is_forgotten(task)}

    def launch(self, request: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
        """RunTask: the tasks as they are when they are made, and why others were not."""
        check_run_task(request)
        cluster = self.active_cluster(request.get("cluster"))
        token = (cluster.name, request.get("clientToken") or "")
        with self._lock:
            self._forget_old_tasks()
            earlier = self._launched_under(token, request)
            if earlier is not None:
                return [task.describe() for task in earlier], []
            containers, placement = self._place(cluster, request)
            count = request.get("count", 1)
            why_not = self._why_no_room(count, placement)
            if why_not:
                return [], [{"arn": cluster.arn, "reason": why_not}]
            tasks = [self._create(cluster, containers, placement, request) for _ in range(count)]
            if token[1]:
                self._by_token[token] = (time.monotonic(), _fingerprint(request), tasks)
        described = [task.describe() for task in tasks]
        for task in tasks:
            TaskLife(task, self._surroundings).start()
        if self._surroundings.faults.take("lost-launch"):
            raise ServerException
        return described, []

    def _why_no_room(self, count: int, placement: Placement) -> str:
        if self._surroundings.faults.take("capacity"):
            return _NO_CAPACITY
        limits = self._surroundings.limits
        if not limits.admit_launches(count, placement):
            raise Throttled(RATE_EXCEEDED)
        return limits.why_no_room(count, placement, self._tasks.values())

    def _launched_under(self, token: tuple[str, str], request: Mapping[str, Any]) -> list[EngineTask] | None:
        launched_at, fingerprint, tasks = self._by_token.get(token, (0.0, "", []))
        if not tasks or time.monotonic() - launched_at > _TOKEN_LIFE_SEC:
            return None
        if fingerprint != _fingerprint(request):
            raise Conflict(f"The client token {token[1]!r} was already used with different parameters.")
        return tasks

    def _place(self, cluster: Cluster, request: Mapping[str, Any]) -> tuple[list[dict[str, Any]], Placement]:
        definition = self.active_definition(request.get("taskDefinition") or "")
        launch_type, provider = self._launch_on(cluster, request)
        if "FARGATE" not in (definition.requires_compatibilities or ()):
            raise InvalidParameter("Task definition does not support launch_type FARGATE.")
        network = check_network(request)
        overrides = request.get("overrides") or {}
        check_overrides(overrides, [str(container["name"]) for container in definition.container_definitions])
        cpu, memory, storage = effective_size(definition.cpu or "", definition.memory or "", overrides)
        execution_role = overrides.get("executionRoleArn") or getattr(definition, "execution_role_arn", None)
        task_role = overrides.get("taskRoleArn") or getattr(definition, "task_role_arn", None)
        check_roles(execution_role, task_role)
        if request.get("enableExecuteCommand") and not task_role:
            raise InvalidParameter("The execute command feature needs a task role: set taskRoleArn.")
        by_name = {override["name"]: override for override in overrides.get("containerOverrides") or ()}
        containers = [apply_override(item, by_name.get(item["name"], {})) for item in definition.container_definitions]
        check_platform(definition.runtime_platform)
        check_overridden(containers, memory)
        placement = Placement(
            cluster_arn=cluster.arn,
            definition_arn=definition.arn,
            group=request.get("group") or f"family:{definition.family}",
            availability_zone=availability_zone(network["subnets"][0]),
            cpu=str(cpu),
            memory=str(memory),
            storage_gib=storage or (definition.ephemeral_storage or {}).get("sizeInGiB") or _DEFAULT_STORAGE_GIB,
            subnet=network["subnets"][0],
            security_groups=tuple(network.get("securityGroups") or ()),
            public_address=network.get("assignPublicIp") == "ENABLED",
            overrides=_complete_overrides(overrides, containers),
            started_by=request.get("startedBy") or "",
            launch_type=launch_type,
            capacity_provider=provider,
            platform_version="1.4.0",
            volumes=tuple(volume["name"] for volume in definition.volumes),
            execute_command=bool(request.get("enableExecuteCommand")),
            task_role=task_role or "",
        )
        return containers, placement

    def _launch_on(self, cluster: Cluster, request: Mapping[str, Any]) -> tuple[str, str]:
        """The launch type and the capacity provider; only Fargate has room here."""
        launch_type = request.get("launchType") or ""
        strategy = request.get("capacityProviderStrategy")
        if not launch_type and not strategy:
            strategy = cluster.default_capacity_provider_strategy
        if strategy:
            provider = strategy[0].get("capacityProvider", "")
            if provider not in (cluster.capacity_providers or ()):
                raise InvalidParameter(
                    "The specified capacity provider strategy cannot contain a capacity provider that is not "
                    "associated with the cluster. Associate the capacity provider with the cluster and try again."
                )
            return "FARGATE", provider
        if launch_type not in ("", "EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"):
            raise InvalidParameter("launch type should be one of [EC2,FARGATE,EXTERNAL].")
        if launch_type != "FARGATE":
            raise InvalidParameter("No Container Instances were found in your cluster.")
        return launch_type, ""

    def _create(
        self, cluster: Cluster, containers: list[dict[str, Any]], placement: Placement, request: Mapping[str, Any]
    ) -> EngineTask:
        task_id = uuid.uuid4().hex
        prefix = f"arn:{self.partition}:ecs:{self.region_name}:{self.account_id}"
        arn = f"{prefix}:task/{cluster.name}/{task_id}"
        made = [
            EngineContainer(
                definition,
                f"{prefix}:container/{cluster.name}/{task_id}/{uuid.uuid4()}",
                agent=ManagedAgent() if placement.execute_command else None,
            )
            for definition in containers
        ]
        task = EngineTask(
            task_id, arn, placement, made, self._tags(cluster, placement, request), self._surroundings.journal
        )
        self._tasks[arn] = task
        missing = int(self._surroundings.faults.value("missing"))
        if missing:
            self._missing[arn] = missing
        return task

    def _tags(self, cluster: Cluster, placement: Placement, request: Mapping[str, Any]) -> list[dict[str, str]]:
        """The task's own, and those that RunTask was asked to add: AWS's and the definition's."""
        tags = [dict(tag) for tag in request.get("tags") or ()]
        if request.get("enableECSManagedTags"):
            tags.append({"key": "aws:ecs:clusterName", "value": cluster.name})
        if request.get("propagateTags") == "TASK_DEFINITION":
            own = {tag["key"] for tag in tags}
            tags += [tag for tag in self.active_definition(placement.definition_arn).tags if tag["key"] not in own]
        return tags

    def find(self, cluster: Cluster, name: str) -> EngineTask | None:
        """The task of that id or ARN in ``cluster``."""
        task_id = name.rpartition("/")[2]
        return self._tasks.get(
            f"arn:{self.partition}:ecs:{self.region_name}:{self.account_id}:task/{cluster.name}/{task_id}"
        )

    def is_hidden(self, task: EngineTask) -> bool:
        """Whether the fault ``missing`` hides the task from this one look."""
        with self._lock:
            left = self._missing.get(task.task_arn, 0)
            if left:
                self._missing[task.task_arn] = left - 1
            return left > 0

    def count_tasks(self) -> None:
        """Tell each cluster how many of its tasks run, and how many are on their way."""
        tasks = [task for task in self.all_tasks() if not task.is_stopped]
        for cluster in self.clusters.values():
            own = [task.last_status for task in tasks if task.placement.cluster_arn == cluster.arn]
            cluster.running_tasks_count = own.count("RUNNING")
            cluster.pending_tasks_count = own.count("PROVISIONING") + own.count("PENDING")

    # --- what moto keeps -----------------------------------------------------------------------------------------

    def active_cluster(self, name: str | None) -> Cluster:
        cluster = self.clusters.get((name or "default").rpartition("/")[2])
        if cluster is None or cluster.status != "ACTIVE":
            raise ClusterNotFoundException
        return cluster

    def fargate_providers(self) -> list[dict[str, Any]]:
        """Those that every account has."""
        prefix = f"arn:{self.partition}:ecs:{self.region_name}:{self.account_id}:capacity-provider"
        return [
            {"capacityProviderArn": f"{prefix}/{name}", "name": name, "status": "ACTIVE", "tags": []}
            for name in FARGATE_PROVIDERS
        ]

    def active_definition(self, name: str) -> TaskDefinition:
        family, _, revision = name.rpartition("/")[2].partition(":")
        revisions = self.task_definitions.get(family, {})
        if revision:
            found = revisions.get(int(revision)) if is_number(revision) else None
        else:
            found = max(
                (item for item in revisions.values() if item.status == "ACTIVE"),
                key=lambda item: item.revision,
                default=None,
            )
        if found is None:
            raise ClientException("TaskDefinition not found.")
        if found.status != "ACTIVE":
            raise ClientException("TaskDefinition is inactive")
        return found

    def _get_resource(self, resource_arn: str, parsed_arn: dict[str, str]) -> Any:
        if parsed_arn["service"] != "task":
            return super()._get_resource(resource_arn, parsed_arn)
        task = next((task for task in self.all_tasks() if task.task_arn == resource_arn), None)
        if task is None:
            raise InvalidParameter("The specified task was not found. Specify a valid task and try again.")
        return task


def is_number(text: str) -> bool:
    """Of a revision, or of where a page begins."""
    return text.isdecimal() and len(text) < 10


def _is_forgotten(task: EngineTask) -> bool:
    stopped_at = task.times.get("stoppedAt")
    return stopped_at is not None and (now() - stopped_at).total_seconds() > STOPPED_TASK_LIFE_SEC


def _fingerprint(request: Mapping[str, Any]) -> str:
    return json.dumps(request, sort_keys=True)


def _complete_overrides(overrides: Mapping[str, Any], containers: list[dict[str, Any]]) -> dict[str, Any]:
    """AWS tells the overrides of every container, also of those without any."""
    by_name = {override["name"]: override for override in overrides.get("containerOverrides") or ()}
    told = [by_name.get(container["name"], {"name": container["name"]}) for container in containers]
    return {"inferenceAcceleratorOverrides": [], **overrides, "containerOverrides": told}

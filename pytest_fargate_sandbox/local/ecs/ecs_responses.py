"""The answers of the ECS operations that moto only writes down.

Those on tasks are read and written as plain JSON: moto's own way, by botocore's models, takes 0.7 ms (measured) for
each task that is described, and a client that waits for forty of them asks many times.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from moto.core.responses import ActionResult
from moto.ecs.responses import EC2ContainerServiceResponse

from pytest_fargate_sandbox.local.ecs.ecs_backend import FargateBackend, is_number
from pytest_fargate_sandbox.local.ecs.engine_task import now
from pytest_fargate_sandbox.local.ecs.refusals import ClientException, InvalidParameter
from pytest_fargate_sandbox.local.ecs.run_task_rules import check_describe_tasks, check_list_tasks
from pytest_fargate_sandbox.local.ecs.tag_rules import check_tags
from pytest_fargate_sandbox.local.ecs.task_definition_rules import (
    check_task_definition,
    fargate_cpu,
    fargate_memory,
)
from pytest_fargate_sandbox.local.ssm.execute_command import check_execute_command, execute_command

if TYPE_CHECKING:
    from datetime import datetime

    from pytest_fargate_sandbox.local.ecs.engine_task import EngineTask

_MOST_LISTED = 100
_NO_SERVICES = "it keeps no services running; RunTask runs tasks"
_OURS = frozenset(("RunTask", "DescribeTasks", "StopTask", "ListTasks", "ExecuteCommand"))

Answer = tuple[int, dict[str, str], str]


class FargateResponse(EC2ContainerServiceResponse):
    """moto finds the method of an operation by its name in snake case."""

    @property
    def _backend(self) -> FargateBackend:
        return cast("FargateBackend", self.ecs_backend)

    def _request(self) -> dict[str, Any]:
        """What was sent: moto's own parameters leave out every field that botocore's model does not know."""
        request: dict[str, Any] = json.loads(self.body or "{}")
        return {key: value for key, value in request.items() if value is not None}

    def parse_parameters(self, request: Any) -> None:
        if self._get_action() in _OURS:
            self.params = {}
        else:
            super().parse_parameters(request)

    def register_task_definition(self) -> ActionResult:
        request = self._request()
        check_task_definition(request, len(self.raw_body))
        check_tags(request.get("tags") or [])
        if request.get("cpu") and request.get("memory"):
            self.params.update(cpu=str(fargate_cpu(request["cpu"])), memory=str(fargate_memory(request["memory"])))
        registered: Any = super().register_task_definition().result
        definition = registered["taskDefinition"]
        definition.registered_at = now()
        return ActionResult({"taskDefinition": definition, "tags": definition.tags})

    def describe_task_definition(self) -> ActionResult:
        name = self._get_param("taskDefinition")
        _, colon, revision = name.rpartition("/")[2].partition(":")
        if not colon:
            self.params["taskDefinition"] = self._backend.active_definition(name).arn
        elif not is_number(revision):
            raise ClientException("Unable to describe task definition.")
        return super().describe_task_definition()

    def list_task_definitions(self) -> ActionResult:
        arns = self._backend.list_task_definitions(self._get_param("familyPrefix"), self._get_param("status", "ACTIVE"))
        arns = sorted(arns, key=_family_and_revision, reverse=self._get_param("sort") == "DESC")
        return ActionResult(_page("taskDefinitionArns", arns, self._get_params()))

    def describe_capacity_providers(self) -> ActionResult:
        wanted = self._get_param("capacityProviders") or []
        of_fargate = [provider for provider in self._backend.fargate_providers() if _is_wanted(provider, wanted)]
        told = {part for provider in of_fargate for part in (provider["name"], provider["capacityProviderArn"])}
        names = [name for name in wanted if name not in told] if wanted else list(self._backend.capacity_providers)
        others, failures = self._backend.describe_capacity_providers(names)
        return ActionResult({"capacityProviders": [*of_fargate, *others], "failures": failures})

    def start_task(self) -> Answer:  # type: ignore[override]
        """It is for instances of one's own, and there are none."""
        self._backend.active_cluster(self._request().get("cluster"))
        raise InvalidParameter("No Container Instances were found in your cluster.")

    def register_container_instance(self) -> ActionResult:
        raise NotImplementedError("it has no instances of one's own")

    def create_service(self) -> ActionResult:
        raise NotImplementedError(_NO_SERVICES)

    def create_task_set(self) -> ActionResult:
        raise NotImplementedError(_NO_SERVICES)

    def describe_clusters(self) -> ActionResult:
        self._backend.count_tasks()
        return super().describe_clusters()

    def run_task(self) -> Answer:  # type: ignore[override]
        tasks, failures = self._backend.launch(self._request())
        return _answer({"tasks": tasks, "failures": failures})

    def describe_tasks(self) -> Answer:  # type: ignore[override]
        request = self._request()
        check_describe_tasks(request.get("tasks") or [])
        cluster = self._backend.active_cluster(request.get("cluster"))
        described, failures = [], []
        for name in request["tasks"]:
            task = self._backend.find(cluster, name)
            if task is None or self._backend.is_hidden(task):
                failures.append({"arn": self._arn_of(cluster.name, name), "reason": "MISSING"})
            else:
                described.append(_describe(task, with_tags="TAGS" in (request.get("include") or ())))
        return _answer({"tasks": described, "failures": failures})

    def stop_task(self) -> Answer:  # type: ignore[override]
        request = self._request()
        cluster = self._backend.active_cluster(request.get("cluster"))
        task = self._backend.find(cluster, request.get("task") or "")
        if task is None:
            raise InvalidParameter("The referenced task was not found.")
        task.request_stop("UserInitiated", request.get("reason") or "Task stopped by user")
        return _answer({"task": _describe(task, with_tags=False)})

    def execute_command(self) -> Answer:
        request = self._request()
        cluster = self._backend.active_cluster(request.get("cluster"))
        check_execute_command(request, cluster.configuration or {})
        task = self._backend.find(cluster, request.get("task") or "")
        if task is None:
            raise InvalidParameter("The referenced task was not found.")
        return _answer(execute_command(self._backend.sessions, task, request))

    def list_tasks(self) -> Answer:  # type: ignore[override]
        request = self._request()
        check_list_tasks(request)
        cluster = self._backend.active_cluster(request.get("cluster"))
        wanted = [task for task in self._backend.all_tasks() if _matches(task, cluster.arn, request)]
        return _answer(_page("taskArns", [task.task_arn for task in wanted], request))

    def _arn_of(self, cluster: str, name: str) -> str:
        if name.startswith("arn:"):
            return name
        backend = self._backend
        return f"arn:{backend.partition}:ecs:{backend.region_name}:{backend.account_id}:task/{cluster}/{name}"


class FargateService(FargateBackend):
    """One region's ECS, as moto has it answer."""

    @property
    def url_paths(self) -> dict[str, Any]:
        """moto looks for its routes beside the class's module; ours leads to our own answers."""
        return {"/$": FargateResponse.dispatch}


def _is_wanted(provider: dict[str, Any], wanted: list[str]) -> bool:
    return not wanted or provider["name"] in wanted or provider["capacityProviderArn"] in wanted


def _page(key: str, arns: list[str], request: dict[str, Any]) -> dict[str, Any]:
    token = request.get("nextToken") or "0"
    if not is_number(token):
        raise InvalidParameter("Invalid token")
    first = int(token)
    last = first + min(request.get("maxResults") or _MOST_LISTED, _MOST_LISTED)
    page: dict[str, Any] = {key: arns[first:last]}
    return page if last >= len(arns) else {**page, "nextToken": str(last)}


def _family_and_revision(arn: str) -> tuple[str, int]:
    family, _, revision = arn.rpartition(":")
    return family, int(revision)


def _answer(result: dict[str, Any]) -> Answer:
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(result, default=_seconds)


def _seconds(moment: datetime) -> float:
    return round(moment.timestamp(), 3)


def _describe(task: EngineTask, *, with_tags: bool) -> dict[str, Any]:
    described = task.describe()
    if not with_tags:
        del described["tags"]
    return described


def _matches(task: EngineTask, cluster_arn: str, request: dict[str, Any]) -> bool:
    place = task.placement
    if place.cluster_arn != cluster_arn or request.get("serviceName") or request.get("containerInstance"):
        return False  # nothing here belongs to a service or runs on an instance of one's own
    family = place.definition_arn.rpartition("/")[2].partition(":")[0]
    return bool(
        task.desired_status == request.get("desiredStatus", "RUNNING")
        and request.get("family", family) == family
        and request.get("startedBy", place.started_by) == place.started_by
        and request.get("launchType", place.launch_type) == place.launch_type
    )

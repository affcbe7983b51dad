"""What Fargate and ECS refuse of calls, apart from definitions and launches: the engine refuses it too."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.local.engine_process import container

if TYPE_CHECKING:
    from tests.local.engine_process import EngineProcess

INVALID = "InvalidParameterException"
FARGATE = {"family": "f", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc",
           "containerDefinitions": [{"name": "a", "image": "b"}]}  # fmt: skip


def test_fargates_capacity_providers_are_there(engine: EngineProcess) -> None:
    both = [provider["name"] for provider in engine.ecs.describe_capacity_providers()["capacityProviders"]]
    assert both == ["FARGATE", "FARGATE_SPOT"]
    answer = engine.ecs.describe_capacity_providers(capacityProviders=["FARGATE_SPOT", "ghost"])
    assert [provider["name"] for provider in answer["capacityProviders"]] == ["FARGATE_SPOT"]
    assert [failure["reason"] for failure in answer["failures"]] == ["MISSING"]


def test_no_service_is_made_that_nothing_would_run_for(engine: EngineProcess) -> None:
    wanted = {"cluster": "local", "serviceName": "s", "taskDefinition": engine.register(container())}
    for network in ({}, {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}}):
        with pytest.raises(ClientError, match="it keeps no services running; RunTask runs tasks") as refusal:
            engine.ecs.create_service(**wanted, **network)
        assert refusal.value.response["Error"]["Code"] == "NotImplemented"
    assert engine.ecs.list_services(cluster="local")["serviceArns"] == []


def test_no_task_starts_on_an_instance_of_ones_own(engine: EngineProcess) -> None:
    with pytest.raises(ClientError, match="No Container Instances were found in your cluster") as refusal:
        engine.ecs.start_task(cluster="local", taskDefinition=engine.register(container()), containerInstances=["i-1"])
    assert refusal.value.response["Error"]["Code"] == INVALID


def test_no_operation_falls_over_an_empty_request(engine: EngineProcess) -> None:
    for operation in engine.ecs.meta.service_model.operation_names:
        status, answer = engine.raw_ecs_call(operation, {})
        assert status != 500, (operation, answer)
        if status == 400:
            assert "None" not in answer["message"], (operation, answer)


def test_an_error_of_the_engines_own_is_told_in_its_log_and_to_nobody_in_pythons_words(engine: EngineProcess) -> None:
    status, answer = engine.raw_ecs_call("DeleteTaskDefinitions", {"taskDefinitions": ["of:moto"]})
    assert status == 500, answer
    operation = "DeleteTaskDefinitions"
    assert answer["message"] == f"The engine met an error of its own in {operation}; its log (--log FILE) has more."
    assert any(operation in line["where"] for line in engine.log_lines("error"))


@pytest.mark.parametrize(
    ("operation", "body", "code", "message"),
    [
        ("CreateCluster", {"clusterName": ["no", "name"]}, "SerializationException", "clusterName: a string is wanted"),
        ("ListTasks", {"maxResults": "5"}, "SerializationException", "maxResults: a whole number is wanted"),
        ("ListTasks", {"maxResults": 10**30}, "SerializationException", "maxResults: a whole number is wanted"),
        ("RunTask", {"overrides": {"containerOverrides": [{"environment": [{"name": 1}]}]}}, "SerializationException",
         "overrides.containerOverrides[0].environment[0].name: a string is wanted"),
        ("RunTask", ["no", "object"], "SerializationException", "the body: a structure is wanted"),
        ("ListTasks", {"nextToken": "not one"}, "InvalidParameterException", "Invalid token"),
        ("DescribeTaskDefinition", {"taskDefinition": "of:moto"}, "ClientException", "Unable to describe"),
        ("ListTasks", {"nextToken": "1" * 5000}, "InvalidParameterException", "Invalid token"),
        ("DescribeTaskDefinition", {"taskDefinition": "a:" + "1" * 5000}, "ClientException", "Unable to describe"),
        ("RunTask", {"taskDefinition": "a:" + "1" * 5000}, "ClientException", "TaskDefinition not found"),
        ("RegisterTaskDefinition", {**FARGATE, "cpu": "1" * 5000, "memory": "512"}, "ClientException", "Invalid 'cpu'"),
        ("RegisterTaskDefinition", {**FARGATE, "cpu": "256", "memory": "1" * 5000 + "GB"}, "ClientException",
         "Invalid 'memory'"),
        ("NoSuchThing", {}, "UnknownOperationException", "The action NoSuchThing is not valid"),
    ],
)  # fmt: skip
def test_a_request_that_has_not_the_shape_of_awss_model_is_refused(
    engine: EngineProcess, operation: str, body: Any, code: str, message: str
) -> None:
    status, answer = engine.raw_ecs_call(operation, body)
    assert (status, answer["__type"].rpartition("#")[2]) == (400, code), answer
    assert answer["message"].startswith(message)


def test_members_that_are_null_are_members_that_are_not_there(engine: EngineProcess) -> None:
    override = {"name": "main", "command": None, "environment": None}
    request = {
        "cluster": "local",
        "taskDefinition": "none",
        "overrides": {"containerOverrides": [override]},
        "tags": None,
    }
    status, answer = engine.raw_ecs_call("RunTask", request)
    assert (status, answer["message"]) == (400, "TaskDefinition not found.")


def test_an_unknown_security_group_is_refused(engine: EngineProcess) -> None:
    network = copy.deepcopy(engine.network())
    network["awsvpcConfiguration"]["securityGroups"] = ["sg-0ghost"]
    with pytest.raises(ClientError, match=r"InvalidGroup\.NotFound"):
        engine.run_task(engine.register(container()), networkConfiguration=network)


def test_a_strategy_takes_only_the_clusters_own_providers(engine: EngineProcess) -> None:
    request = {
        "cluster": "local",
        "taskDefinition": engine.register(container(script="true")),
        "networkConfiguration": engine.network(),
    }
    with pytest.raises(ClientError, match="not associated with the cluster"):
        engine.ecs.run_task(**request, capacityProviderStrategy=[{"capacityProvider": "MINE"}])
    task = engine.ecs.run_task(**request, capacityProviderStrategy=[{"capacityProvider": "FARGATE_SPOT"}])["tasks"][0]
    assert task["capacityProviderName"] == "FARGATE_SPOT"


def test_a_deregistered_definition_runs_no_more(engine: EngineProcess) -> None:
    definition = engine.register(container())
    engine.ecs.deregister_task_definition(taskDefinition=definition)
    with pytest.raises(ClientError, match="TaskDefinition is inactive"):
        engine.run_task(definition)


def test_a_field_that_cannot_be_overridden_is_refused_though_the_client_let_it_pass(engine: EngineProcess) -> None:
    request = {
        "cluster": "local",
        "taskDefinition": engine.register(container()),
        "launchType": "FARGATE",
        "networkConfiguration": engine.network(),
        "overrides": {"containerOverrides": [{"name": "main", "entryPoint": ["/bin/sh"]}]},
    }
    status, answer = engine.raw_ecs_call("RunTask", request)
    assert status == 400
    assert answer["__type"].endswith(INVALID)
    assert "can't override entryPoint" in answer["message"]


def test_at_most_100_tasks_are_described_at_once(engine: EngineProcess) -> None:
    with pytest.raises(ClientError, match="Tasks cannot have more than 100 elements"):
        engine.ecs.describe_tasks(cluster="local", tasks=["x"] * 101)
    with pytest.raises(ClientError, match="Tasks cannot be empty"):
        engine.ecs.describe_tasks(cluster="local", tasks=[])


def test_a_task_that_nobody_knows_is_missing(engine: EngineProcess) -> None:
    answer = engine.ecs.describe_tasks(cluster="local", tasks=["0" * 32])
    assert answer["tasks"] == []
    assert answer["failures"][0]["reason"] == "MISSING"
    with pytest.raises(ClientError, match="The referenced task was not found"):
        engine.ecs.stop_task(cluster="local", task="0" * 32)


@pytest.mark.parametrize("other", [{"family": "f"}, {"desiredStatus": "RUNNING"}, {"serviceName": "s"}])
def test_started_by_goes_with_no_other_filter(engine: EngineProcess, other: dict[str, str]) -> None:
    with pytest.raises(ClientError, match="cannot specify startedBy with other arguments") as refusal:
        engine.ecs.list_tasks(cluster="local", startedBy="me", **other)
    assert refusal.value.response["Error"]["Code"] == INVALID


@pytest.mark.parametrize(("service", "call"), [("ecs", "list_clusters"), ("ec2", "describe_subnets")])
def test_a_region_that_does_not_exist_is_told(engine: EngineProcess, service: str, call: str) -> None:
    client = boto3.client(
        service,
        endpoint_url=engine.exports["AWS_ENDPOINT_URL"],
        region_name="mars-1",
        aws_access_key_id=engine.exports["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=engine.exports["AWS_SECRET_ACCESS_KEY"],
    )
    with pytest.raises(
        ClientError, match="no region 'mars-1'; the clusters of this engine are in us-east-1"
    ) as refusal:
        getattr(client, call)()
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400

"""What we ask ECS for, in every mode and with every setting, fits AWS's models and a second list of Fargate's rules.

That list, ``tests/providers/aws_rules.py``, is held against the engine's refusals as well: what one of them knows, the
other has to know.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ParamValidationError
from botocore.session import Session
from botocore.validate import validate_parameters

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig, SshSidecarConfig
from pytest_fargate_sandbox.leaves.fargate_rules import FARGATE_SIZES
from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
from pytest_fargate_sandbox.sandbox.endpoints import Routes
from pytest_fargate_sandbox.sandbox.keyring import Keyring
from pytest_fargate_sandbox.sandbox.modes.mode_registry import MODES, recognised
from pytest_fargate_sandbox.sandbox.task.launch import run_request
from pytest_fargate_sandbox.sandbox.task.task_definition import make_plan
from tests.fresh_keys import fresh_key_pair
from tests.local.test_refusals import REFUSED_DEFINITIONS, REFUSED_RUNS
from tests.providers.aws_rules import problems

if TYPE_CHECKING:
    from botocore.model import OperationModel

ROLE = "arn:aws:iam::123456789012:role/ecs-execution"
TASK_ROLE = "arn:aws:iam::123456789012:role/task"
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:key-AbCdEf"
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/tasks:latest"
KEYRING = Keyring(fresh_key_pair(), fresh_key_pair(), "token")
EXEC = SshSidecarConfig(exec_server_port=19542)
AGENT = {"ssh_sidecar": SshSidecarConfig(), "container_port": 8000}
EFS = {"file_system_id": "fs-0123456789abcdef0", "path": "/data"}
BASE = {
    "family": "base",
    "cpu": "512",
    "memory": "3072",
    "executionRoleArn": ROLE,
    "volumes": [{"name": "scratch"}],
    "containerDefinitions": [
        {
            "name": "main",
            "image": IMAGE,
            "portMappings": [{"containerPort": 8000}],
            "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/scratch"}],
            "environment": [{"name": "LD_PRELOAD", "value": "/lib/x.so"}],
            "dependsOn": [{"containerName": "db", "condition": "START"}],
        },
        {"name": "db", "image": IMAGE, "essential": False},
    ],
}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "its own Python": {"runtime": "sidecar"},
    "the image's Python": {"runtime": "image"},
    "large": {"cpu": "16384", "memory": "122880", "ephemeral_storage_gib": 200},
    "small": {"cpu": "256", "memory": "512"},
    "on Spot": {"capacity_provider": "FARGATE_SPOT", "platform_version": "1.4.0"},
    "by the Session Manager": {"connect_via": "ssm", "assign_public_ip": False, "task_role_arn": TASK_ROLE},
    "in private": {"assign_public_ip": False, "connect_via": "private"},
    "on ARM": {"cpu_architecture": "ARM64"},
    "logged": {"log_group": "/my/group", "log_stream_prefix": "x"},
    "with EFS": {"volumes": [EFS, {**EFS, "path": "/other", "root_directory": "/deep", "read_only": True}]},
    "with an access point": {"volumes": [{**EFS, "access_point_id": "fsap-0123456789abcdef0"}]},
    "with an access point by IAM": {
        "volumes": [{**EFS, "access_point_id": "fsap-0123456789abcdef0"}], "task_role_arn": TASK_ROLE
    },
    "with a user and an environment": {"user": "1000:1000", "extra_env": {"A": "{task_id}", "B": "x" * 6000}},
    "tagged": {"tags": {f"tag {number}": "ü & [x]" for number in range(40)}},
    "cloned": {"task_definition": "base"},
    "cloned and its own Python": {"task_definition": "base", "runtime": "sidecar", "volumes": [EFS]},
    "in the most places": {"subnets": [f"subnet-{n:017x}" for n in range(16)], "security_groups": ["sg-1"] * 5},
}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "exec": {"ssh_sidecar": EXEC},
    "agent": AGENT,
    "ecs-exec": {"ecs_exec": True, "task_role_arn": TASK_ROLE},
}
"""By the names that ``MODES`` has for them."""


@cache
def model(operation: str) -> OperationModel:
    return Session().get_service_model("ecs").operation_model(operation)


def wrong_with(operation: str, call: dict[str, Any]) -> list[str]:
    try:
        validate_parameters(call, model(operation).input_shape)
    except ParamValidationError as error:
        return [str(error)]
    return problems(model(operation), call)


def calls_for(cfg: EcsFargateConfig, *, outside: bool) -> dict[str, dict[str, Any]]:
    endpoints = [OutsideEndpoint(f"http://service-{n}.example/", f"URL_{n}") for n in range(3 if outside else 0)]
    base = copy.deepcopy(BASE) if cfg.task_definition else None
    routes = Routes(tuple(endpoints), taken_ports=[2222, 19542, 8000])
    task_id = "tests/test_x.py::test_it[aws:ü]"
    plan = make_plan(cfg, image=IMAGE, base=base, region="eu-west-1", task_id=task_id, keyring=KEYRING, routes=routes)
    tags = {"fargate-sandbox:task": task_id, "aws:mine": "aws:mine"}
    owner = "arn:aws:sts::123456789012:assumed-role/graders"
    request = run_request(
        cfg, task_definition="arn:aws:ecs:eu-west-1:123456789012:task-definition/x:1", overrides=plan.overrides,
        tags=tags, owner=owner,
    )  # fmt: skip
    return {"RegisterTaskDefinition": plan.registration, "RunTask": {**request, "clientToken": "0" * 32}}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_asked_for_is_what_aws_takes(way: str, setting: str) -> None:
    plain = {"cluster": "bench", "region": "eu-west-1", "subnets": ["subnet-1"], "security_groups": ["sg-1"]}
    given = {**plain, "assign_public_ip": True, "execution_role_arn": ROLE, **WAYS[way], **SETTINGS[setting]}
    cfg = EcsFargateConfig(**given)
    assert type(recognised(cfg)) is type(MODES[way].make())
    for outside in (False, True):
        for operation, call in calls_for(cfg, outside=outside).items():
            assert wrong_with(operation, call) == [], "with endpoints" if outside else "alone"


def test_keys_from_secrets_are_asked_for_as_aws_takes_them() -> None:
    sidecar = SshSidecarConfig(exec_server_port=19542, public_key_secret_arn=SECRET, private_key_secret_arn=SECRET)
    cfg = EcsFargateConfig(cluster="bench", subnets=["subnet-1"], execution_role_arn=ROLE, ssh_sidecar=sidecar)
    for operation, call in calls_for(cfg, outside=False).items():
        assert wrong_with(operation, call) == []


def test_no_mode_is_left_out() -> None:
    assert set(WAYS) == set(MODES)


OF_THE_ENGINE_ALONE = {"a restart policy"}
"""Fargate has it."""
KNOWN_TO_ECS_ALONE = {
    "no cluster of that name",
    "no such definition",
    "an EC2 launch",
    "an unknown subnet",
    "a container that is not there",
    "a size that does not exist",
    "too little storage",
    "a role of another account",
    "more memory reserved than the container has",
    "more memory for a container than the task has",
}
"""The request by itself does not tell, or not without the definition."""


def test_definitions_that_the_engine_refuses_break_a_rule_of_awss_pages_each() -> None:
    refused = REFUSED_DEFINITIONS.items()
    fit = {case for case, (definition, _) in refused if not wrong_with("RegisterTaskDefinition", definition)}
    assert fit == OF_THE_ENGINE_ALONE


def test_launches_that_the_engine_refuses_break_a_rule_of_awss_pages_each() -> None:
    network = {"awsvpcConfiguration": {"subnets": ["subnet-1"]}}
    plain = {"taskDefinition": "x:1", "launchType": "FARGATE", "networkConfiguration": network}
    assert wrong_with("RunTask", plain) == []
    fit = {case for case, (fields, *_) in REFUSED_RUNS.items() if not wrong_with("RunTask", {**plain, **fields})}
    assert fit == KNOWN_TO_ECS_ALONE


def test_fargates_sizes_stand_in_both_lists() -> None:
    plain = {"family": "x", "networkMode": "awsvpc", "containerDefinitions": [{"name": "x", "image": "x"}]}
    sizes = [(cpu, mib) for cpu in (128, *FARGATE_SIZES, 32768) for mib in range(512, 131072, 512)]
    taken = {
        (cpu, mib)
        for cpu, mib in sizes
        if not problems(model("RegisterTaskDefinition"), {**plain, "cpu": str(cpu), "memory": str(mib)})
    }
    assert taken == {(cpu, mib) for cpu, memories in FARGATE_SIZES.items() for mib in memories}

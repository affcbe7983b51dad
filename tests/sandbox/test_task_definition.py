"""A registration is a pure function of the configuration, found again by its content."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig, SshSidecarConfig
from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.names import (
    ENV_PRELOAD,
    NO_PRELOAD,
    SHARED_DIR,
    SIDECAR_CONTAINER,
    SIDECAR_REFERENCE,
)
from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
from pytest_fargate_sandbox.sandbox.endpoints import Routes
from pytest_fargate_sandbox.sandbox.keyring import Keyring
from pytest_fargate_sandbox.sandbox.task.task_definition import Payload, make_plan, registration

ROLE = "arn:aws:iam::123456789012:role/exec"
EXEC = SshSidecarConfig(exec_server_port=19542)
BASE: dict[str, Any] = {
    "family": "base",
    "revision": 3,
    "taskDefinitionArn": "arn:aws:ecs:us-east-1:123456789012:task-definition/base:3",
    "status": "ACTIVE",
    "requiresAttributes": [{"name": "x"}],
    "cpu": "256",
    "memory": "2048",
    "executionRoleArn": "arn:aws:iam::123456789012:role/base",
    "volumes": [{"name": "scratch"}],
    "runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
    "containerDefinitions": [
        {
            "name": "main",
            "image": "base:1",
            "environment": [{"name": "A", "value": "1"}],
            "healthCheck": {"command": ["CMD", "true"]},
            "mountPoints": [{"sourceVolume": "scratch", "containerPath": "/scratch"}],
            "dependsOn": [{"containerName": "db", "condition": "HEALTHY"}],
            "entryPoint": ["/swallow"],
        },
        {"name": "db", "image": "db:1", "essential": False},
    ],
}


def _cfg(**fields: Any) -> EcsFargateConfig:
    return EcsFargateConfig(**{"cluster": "c", "execution_role_arn": ROLE, "ssh_sidecar": EXEC, **fields})


def _registered(image: str | None = "image:1", base: dict[str, Any] | None = None, **fields: Any) -> Payload:
    return registration(_cfg(**fields), image=image, region="eu-west-1", base=base)


def _container(payload: Payload, name: str = "main") -> dict[str, Any]:
    return next(each for each in payload["containerDefinitions"] if each["name"] == name)


def test_the_family_is_the_hash_of_everything_else() -> None:
    first, again, other = _registered(), _registered(), _registered(image="image:2")
    assert first == again
    assert first["family"] != other["family"]
    assert first["family"].startswith("ecs-sandbox-")


@pytest.mark.parametrize(
    "fields",
    [
        {"cpu": "1024", "memory": "2048"},
        {"user": "nobody"},
        {"runtime": "image"},
        {"log_group": "/g"},
        {"task_role_arn": ROLE},
    ],
)
def test_every_setting_of_the_container_makes_another_family(fields: dict[str, Any]) -> None:
    assert _registered(**fields)["family"] != _registered()["family"]


def test_nothing_of_a_single_sandbox_is_registered() -> None:
    plan = [
        make_plan(
            _cfg(extra_env={"X": "{task_id}"}),
            image="i",
            base=None,
            region="r",
            task_id=task_id,
            keyring=_keyring(task_id),
            routes=Routes(),
        )
        for task_id in ("one", "two")
    ]
    assert plan[0].registration == plan[1].registration
    assert plan[0].overrides != plan[1].overrides
    assert "one-token" not in json.dumps([plan[0].overrides, plan[0].registration])


def _keyring(name: str) -> Keyring:
    from tests.fresh_keys import fresh_key_pair

    return Keyring(fresh_key_pair(), fresh_key_pair(), f"{name}-token")


def test_exec_server_mode_takes_the_container_over() -> None:
    main = _container(_registered())
    assert main["entryPoint"][0] == "/bin/sh"
    assert main["mountPoints"] == [{"sourceVolume": "fargate-sandbox", "containerPath": SHARED_DIR, "readOnly": False}]
    assert main["dependsOn"] == [{"containerName": SIDECAR_CONTAINER, "condition": "START"}]
    assert {"name": "FARGATE_SANDBOX_PORT", "value": "19542"} in main["environment"]
    assert main["essential"] is True
    assert "user" not in main


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        ({}, {}, {"memory": 1984}),
        ({"memory": 512}, {}, {"memory": 512}),
        ({"memory": 2048, "memoryReservation": 2000}, {}, {"memory": 1984, "memoryReservation": 1984}),
        ({}, {"memory": 512, "memoryReservation": 256}, {"memory": 1472}),
        ({"memoryReservation": 100}, {"memoryReservation": 256}, {"memory": 1728, "memoryReservation": 100}),
        ({}, {"memory": 2048}, {}),
    ],
)
def test_the_main_container_leaves_the_sidecar_some_of_the_memory(
    own: dict[str, int], other: dict[str, int], expected: dict[str, int]
) -> None:
    base = copy.deepcopy(BASE)
    for container, limits in zip(base["containerDefinitions"], (own, other), strict=True):
        container.update(limits)
    main = _container(_registered(base=base, cpu="256", memory="2048"))
    assert {key: value for key, value in main.items() if key.startswith("memory")} == expected


def test_a_runtime_from_the_sidecar_is_waited_for() -> None:
    main = _container(_registered(runtime="sidecar"))
    assert main["dependsOn"][0]["condition"] == "HEALTHY"
    assert main["entryPoint"][0] != "/bin/sh"


def test_what_is_preloaded_into_commands_is_kept_from_the_sidecars_python_and_from_a_clone_of_that() -> None:
    base = copy.deepcopy(BASE)
    _container(base)["environment"].append({"name": "LD_PRELOAD", "value": "/lib/mine.so"})
    first = _registered(runtime="sidecar", base=base)
    for registered in (first, _registered(runtime="sidecar", base=first)):
        environment = {each["name"]: each["value"] for each in _container(registered)["environment"]}
        assert (environment["LD_PRELOAD"], environment[ENV_PRELOAD]) == (NO_PRELOAD, "/lib/mine.so")


def test_agent_mode_leaves_the_image_its_own_command() -> None:
    main = _container(_registered(ssh_sidecar=SshSidecarConfig(), container_port=8000))
    assert "command" not in main
    assert "entryPoint" not in main
    assert main["portMappings"] == [{"containerPort": 8000, "protocol": "tcp"}]
    assert main["dependsOn"] == [{"containerName": SIDECAR_CONTAINER, "condition": "HEALTHY"}]


def test_the_sidecar_is_the_reserved_reference_unless_named() -> None:
    assert _container(_registered(), SIDECAR_CONTAINER)["image"] == SIDECAR_REFERENCE
    named = SshSidecarConfig(exec_server_port=19542, image="mine:1")
    assert _container(_registered(ssh_sidecar=named), SIDECAR_CONTAINER)["image"] == "mine:1"


def test_a_clone_keeps_what_is_its_own() -> None:
    payload = _registered(base=BASE, task_definition="base", execution_role_arn=None, memory="8192", cpu="1024")
    main = _container(payload)
    assert main["image"] == "image:1"
    assert {"name": "A", "value": "1"} in main["environment"]
    assert main["dependsOn"] == [
        {"containerName": "db", "condition": "HEALTHY"},
        {"containerName": SIDECAR_CONTAINER, "condition": "START"},
    ]
    assert main["mountPoints"][0]["sourceVolume"] == "scratch"
    assert "healthCheck" not in main
    assert main["entryPoint"] != ["/swallow"]
    assert [each["name"] for each in payload["containerDefinitions"]] == ["main", "db", SIDECAR_CONTAINER]
    assert [each["name"] for each in payload["volumes"]] == ["scratch", "fargate-sandbox"]
    assert payload["executionRoleArn"] == BASE["executionRoleArn"]
    assert payload["runtimePlatform"]["cpuArchitecture"] == "ARM64"
    assert not {"revision", "status", "taskDefinitionArn", "requiresAttributes"} & set(payload)
    assert BASE["containerDefinitions"][0]["entryPoint"] == ["/swallow"], "the base must not be changed"


def test_a_clone_of_a_definition_that_we_made_has_our_volumes_and_mounts_once() -> None:
    volumes = [{"file_system_id": "fs-1", "path": "/data"}]
    again = _registered(base=_registered(volumes=volumes), volumes=volumes)
    assert [each["name"] for each in again["volumes"]] == ["fargate-sandbox", "efs-0"]
    mounted = [each["sourceVolume"] for each in _container(again)["mountPoints"]]
    assert len(mounted) == len(set(mounted))


def test_a_clone_in_agent_mode_keeps_command_and_health_check() -> None:
    payload = _registered(base=BASE, task_definition="base", ssh_sidecar=SshSidecarConfig(), container_port=80)
    assert _container(payload)["entryPoint"] == ["/swallow"]
    assert "healthCheck" in _container(payload)


def test_a_clone_without_an_image_of_ours_keeps_its_own() -> None:
    assert _container(_registered(None, base=BASE, task_definition="base"))["image"] == "base:1"


@pytest.mark.parametrize(
    ("ours", "base", "both"),
    [
        (("256", "512"), ("1024", "8192"), ("1024", "8192")),
        (("4096", "8192"), ("256", "2048"), ("4096", "8192")),
        (("8192", "16384"), ("4096", "30720"), ("8192", "32768")),
        (("256", "512"), (None, None), ("256", "512")),
    ],
)
def test_the_larger_of_both_sizes_is_a_size_that_fargate_has(
    ours: tuple[str, str], base: tuple[str | None, str | None], both: tuple[str, str]
) -> None:
    definition = {**BASE, "cpu": base[0], "memory": base[1]}
    payload = _registered(base=definition, task_definition="base", cpu=ours[0], memory=ours[1])
    assert (payload["cpu"], payload["memory"]) == both


def test_storage_is_left_out_for_the_default_and_else_the_larger_of_both() -> None:
    assert "ephemeralStorage" not in _registered()
    base = {**BASE, "ephemeralStorage": {"sizeInGiB": 50}}
    assert _registered(base=base, ephemeral_storage_gib=30)["ephemeralStorage"] == {"sizeInGiB": 50}
    assert _registered(ephemeral_storage_gib=21)["ephemeralStorage"] == {"sizeInGiB": 21}


def test_a_missing_container_is_told_with_those_that_are_there() -> None:
    with pytest.raises(ConfigError, match="main, db") as caught:
        _registered(base=BASE, task_definition="base", container_name="app")
    assert caught.value.key == "container_name"


def test_logs_of_both_containers_go_to_the_group() -> None:
    payload = _registered(log_group="/group")
    options = _container(payload)["logConfiguration"]["options"]
    assert options == _container(payload, SIDECAR_CONTAINER)["logConfiguration"]["options"]
    assert options["awslogs-create-group"] == "true"
    assert options["awslogs-region"] == "eu-west-1"


def test_efs_volumes_are_mounted() -> None:
    volumes = [
        {"file_system_id": "fs-1", "path": "/data", "root_directory": "/sub", "read_only": True},
        {"file_system_id": "fs-2", "path": "/more", "access_point_id": "fsap-1"},
    ]
    payload = _registered(volumes=volumes)
    assert payload["volumes"][1]["efsVolumeConfiguration"]["rootDirectory"] == "/sub"
    assert payload["volumes"][2]["efsVolumeConfiguration"]["authorizationConfig"] == {
        "accessPointId": "fsap-1",
        "iam": "DISABLED",  # there is no role to go by
    }
    assert {"sourceVolume": "efs-0", "containerPath": "/data", "readOnly": True} in _container(payload)["mountPoints"]


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"ssh_sidecar": None}, "ssh_sidecar"),
        ({"ssh_sidecar": SshSidecarConfig()}, "container_port"),
        ({"execution_role_arn": None}, "execution_role_arn"),
    ],
)
def test_what_is_missing_is_named(fields: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _registered(**fields)
    assert caught.value.key == key


def test_no_image_anywhere_is_an_error_that_says_where_one_could_stand() -> None:
    with pytest.raises(ConfigError, match="image_template"):
        _registered(image=None)


def test_an_environment_too_long_to_travel_is_registered_instead() -> None:
    cfg = _cfg(
        ssh_sidecar=SshSidecarConfig(),
        container_port=80,
        extra_env={"LONG": "x" * 6000, "OWN": "{task_id}", "SHORT": "y"},
    )
    routes = Routes([OutsideEndpoint("http://a:4000", "MODEL")])
    plan = make_plan(cfg, image="i", base=None, region="r", task_id="t", keyring=_keyring("t"), routes=routes)
    assert plan.overrides["main"] == {"OWN": "t", "MODEL": "http://127.0.0.1:4000"}
    assert {"name": "LONG", "value": "x" * 6000} in _container(plan.registration)["environment"]


def test_any_number_of_outside_endpoints_leaves_room_in_the_overrides() -> None:
    cfg = _cfg(ssh_sidecar=SshSidecarConfig(), container_port=80, extra_env={"OWN": "{task_id}"})
    routes = Routes([OutsideEndpoint(f"http://host-{n}.example:4000/v1", f"ENDPOINT_{n}") for n in range(250)])
    plan = make_plan(cfg, image="i", base=None, region="r", task_id="t", keyring=_keyring("t"), routes=routes)
    assert plan.overrides["main"] == {"OWN": "t"}
    assert len(json.dumps(plan.overrides)) < 4000
    environment = _container(plan.registration)["environment"]
    assert {"name": "ENDPOINT_249", "value": "http://127.0.0.1:20248/v1"} in environment


@pytest.mark.parametrize(
    ("sidecar", "place"),
    [(EXEC, "ssh_tunnel_port"), (SshSidecarConfig(), "ssh_tunnel_port"), (SshSidecarConfig(), "task_ip")],
)
def test_a_place_that_can_never_be_filled_is_told_before_the_launch(sidecar: SshSidecarConfig, place: str) -> None:
    cfg = _cfg(ssh_sidecar=sidecar, container_port=80, extra_env={"X": f"{{{place}}}"})
    with pytest.raises(ConfigError, match=place):
        make_plan(cfg, image="i", base=None, region="r", task_id="t", keyring=_keyring("t"), routes=Routes())


def test_a_definition_beyond_what_ecs_takes_is_refused_before_the_call() -> None:
    cfg = _cfg(ssh_sidecar=SshSidecarConfig(), container_port=80, extra_env={"LONG": "x" * 70_000})
    with pytest.raises(ConfigError, match="65536"):
        make_plan(cfg, image="i", base=None, region="r", task_id="t", keyring=_keyring("t"), routes=Routes())

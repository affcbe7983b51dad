"""What Fargate refuses, the engine refuses: with AWS's codes, and before anything runs."""

from __future__ import annotations

from platform import machine
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pytest_fargate_sandbox.leaves.fargate_rules import FARGATE_SIZES
from tests.local.engine_process import ROLE, container

if TYPE_CHECKING:
    from tests.local.engine_process import EngineProcess

CLIENT, INVALID, UNKNOWN = "ClientException", "InvalidParameterException", "PlatformUnknownException"


def _definition(**fields: Any) -> dict[str, Any]:
    return {
        "family": "refused",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [container()],
        **fields,
    }


def _one(**fields: Any) -> dict[str, Any]:
    return _definition(containerDefinitions=[container(**fields)])


def _two(first: dict[str, Any], condition: str) -> dict[str, Any]:
    wanted = [{"containerName": "first", "condition": condition}]
    return _definition(containerDefinitions=[container("first", **first), container(dependsOn=wanted)])


def _health(**fields: Any) -> dict[str, Any]:
    return _one(healthCheck={"command": ["CMD", "true"], **fields})


def _with_role(**fields: Any) -> dict[str, Any]:
    return _definition(executionRoleArn=ROLE, containerDefinitions=[container(**fields)])


def _without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in _definition().items() if key not in keys}


def _log(options: dict[str, str], driver: str = "awslogs") -> dict[str, Any]:
    log = {"logDriver": driver, "options": options}
    return _definition(executionRoleArn=ROLE, containerDefinitions=[container(logConfiguration=log)])


def _efs(**fields: Any) -> dict[str, Any]:
    return _definition(volumes=[{"name": "v", "efsVolumeConfiguration": {"fileSystemId": "fs-1", **fields}}])


def _secret(source: str) -> list[dict[str, str]]:
    return [{"name": "A", "valueFrom": source}]


_LOG_OPTIONS = {"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}
_FILE = {"value": "arn:aws:s3:::bucket/variables.env", "type": "s3"}
_SECRETS = [{"name": "A", "valueFrom": "/a"}]

REFUSED_DEFINITIONS = {
    "cpu 999": (_definition(cpu="999"), "No Fargate configuration exists for given values"),
    "memory that does not go with the cpu": (_definition(memory="8192"), "No Fargate configuration exists"),
    "cpu that is no number": (_definition(cpu="much"), "Invalid 'cpu' setting"),
    "no cpu": (_without("cpu"), "Fargate requires that 'cpu' be defined at the task level"),
    "no memory": (_without("memory"), "Fargate requires that 'memory' be defined at the task level"),
    "no network mode": (_without("networkMode"), "Fargate only supports network mode 'awsvpc'"),
    "bridge": (_definition(networkMode="bridge"), "Fargate only supports network mode 'awsvpc'"),
    "5 GiB of storage": (_definition(ephemeralStorage={"sizeInGiB": 5}), "between 21 GiB and 200 GiB"),
    "20 GiB of storage": (_definition(ephemeralStorage={"sizeInGiB": 20}), "between 21 GiB and 200 GiB"),
    "201 GiB of storage": (_definition(ephemeralStorage={"sizeInGiB": 201}), "between 21 GiB and 200 GiB"),
    "hostname": (_one(hostname="me"), "hostname is not supported on container when networkMode=awsvpc"),
    "privileged": (_one(privileged=True), "'privileged' is not supported on Fargate"),
    "a capability": (_one(linuxParameters={"capabilities": {"add": ["SYS_ADMIN"]}}), "no capability but SYS_PTRACE"),
    "a GPU": (_one(resourceRequirements=[{"type": "GPU", "value": "1"}]), "not supported on Fargate"),
    "devices": (_one(linuxParameters={"devices": [{"hostPath": "/dev/kvm"}]}), "not supported on Fargate"),
    "links": (_one(links=["other"]), "'links' is not supported on Fargate"),
    "COMPLETE on an essential container": (_two({}, "COMPLETE"), "cannot be essential"),
    "SUCCESS on an essential container": (_two({}, "SUCCESS"), "cannot be essential"),
    "HEALTHY on a container without a check": (_two({}, "HEALTHY"), "has no health check"),
    "a condition that does not exist": (_two({}, "READY"), "condition should be one of"),
    "a dependency that does not exist": (
        _one(dependsOn=[{"containerName": "ghost", "condition": "START"}]),
        "no container is named 'ghost'",
    ),
    "a dependency on itself": (_one(dependsOn=[{"containerName": "main", "condition": "START"}]), "cycle"),
    "two containers of one name": (_definition(containerDefinitions=[container(), container()]), "must be unique"),
    "no essential container": (_one(essential=False), "must be essential"),
    "no container": (_definition(containerDefinitions=[]), "Container list cannot be empty"),
    "an image that is empty": (_one(image=""), "Container.image should not be null or empty"),
    "a family with a slash": (_definition(family="a/b"), "Family contains invalid characters"),
    "health interval 4": (_health(interval=4), "'healthCheck.interval' must be between 5 and 300"),
    "health interval 301": (_health(interval=301), "'healthCheck.interval' must be between 5 and 300"),
    "health timeout 1": (_health(timeout=1), "'healthCheck.timeout' must be between 2 and 60"),
    "health retries 11": (_health(retries=11), "'healthCheck.retries' must be between 1 and 10"),
    "health start period 301": (_health(startPeriod=301), "'healthCheck.startPeriod' must be between 0 and 300"),
    "a health check without a command": (_one(healthCheck={"command": ["CMD-SHELL"]}), "healthCheck.command"),
    "start timeout 1": (_one(startTimeout=1), "'startTimeout' must be between 2 and 120"),
    "stop timeout 121": (_one(stopTimeout=121), "'stopTimeout' must be between 2 and 120"),
    "a volume that is not there": (_one(mountPoints=[{"sourceVolume": "v", "containerPath": "/v"}]), "Unknown volume"),
    "a volume of the host": (
        _definition(volumes=[{"name": "v", "host": {"sourcePath": "/"}}]),
        "Fargate does not support host.sourcePath",
    ),
    "a volume with a space": (_definition(volumes=[{"name": "my volume"}]), "Volume.name contains invalid characters"),
    "a volume without a name": (_definition(volumes=[{"host": {}}]), "Volume.name contains invalid characters"),
    "EFS by IAM without TLS": (_efs(authorizationConfig={"iam": "ENABLED"}), "transitEncryption ENABLED"),
    "an access point without TLS": (_efs(authorizationConfig={"accessPointId": "fsap-1"}), "transitEncryption ENABLED"),
    "an access point and another root": (
        _efs(
            authorizationConfig={"accessPointId": "fsap-1"},
            transitEncryption="ENABLED",
            rootDirectory="/deep",
        ),
        "rootDirectory must be /",
    ),
    "two volumes at one place": (
        _definition(
            volumes=[{"name": "v"}, {"name": "w"}],
            containerDefinitions=[
                container(
                    mountPoints=[
                        {"sourceVolume": name, "containerPath": f"/data{end}"} for name, end in (("v", ""), ("w", "/"))
                    ]
                )
            ],
        ),
        "Found twice: /data",
    ),
    "port 70000": (
        _one(portMappings=[{"containerPort": 70000}]),
        "Invalid 'containerPort' setting for container 'main'",
    ),
    "a mapping without a port": (_one(portMappings=[{"protocol": "tcp"}]), "Invalid 'containerPort' setting"),
    "a range of ports that ends before it begins": (
        _one(portMappings=[{"containerPortRange": "90-80"}]),
        "Invalid 'containerPort' setting",
    ),
    "a range of ports beyond the last": (
        _one(portMappings=[{"containerPortRange": "80-70000"}]),
        "Invalid 'containerPort' setting",
    ),
    "a port of another protocol": (
        _one(portMappings=[{"containerPort": 80, "protocol": "icmp"}]),
        "must be tcp or udp",
    ),
    "a port in two containers": (
        _definition(
            containerDefinitions=[container(name, portMappings=[{"containerPort": 80}]) for name in ("main", "other")]
        ),
        "TCP host port '80' is mapped multiple times in task",
    ),
    "11 containers": (
        _definition(containerDefinitions=[container(f"c{n}") for n in range(11)]),
        "at most 10 container",
    ),
    "a variable without a name": (
        _one(environment=[{"name": "", "value": "x"}]),
        "Environment variable name cannot be null or blank.",
    ),
    "a system that Fargate lacks": (
        _definition(runtimePlatform={"operatingSystemFamily": "PLAN9"}),
        "operatingSystemFamily should be one of [LINUX,",
    ),
    "a processor that Fargate lacks": (
        _definition(runtimePlatform={"cpuArchitecture": "RISCV"}),
        "cpuArchitecture should be one of [X86_64,ARM64]",
    ),
    "a secret's ARN that is none": (_with_role(secrets=_secret("arn:aws:secretsmanager:::x")), "Invalid arn syntax"),
    "a secret's ARN with half a version": (
        _with_role(secrets=_secret("arn:aws:secretsmanager:us-east-1:123456789012:secret:s:key")),
        "Invalid arn syntax",
    ),
    "a parameter's ARN that is none": (
        _with_role(secrets=_secret("arn:aws:ssm:us-east-1:123456789012:nope")),
        "Invalid arn syntax",
    ),
    "a tag's value of AWS's own": (_definition(tags=[{"key": "x", "value": "AWS:y"}]), "must not start with aws:"),
    "ports that differ": (_one(portMappings=[{"containerPort": 80, "hostPort": 81}]), "must match"),
    "secrets without an execution role": (_one(secrets=_SECRETS), "you must also specify a value for 'executionRole"),
    "a log without an execution role": (
        _one(logConfiguration={"logDriver": "awslogs", "options": _LOG_OPTIONS}),
        "execution role ARN to support log driver awslogs",
    ),
    "an ECR image without an execution role": (
        _one(image="123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1"),
        "execution role ARN to support ECR images",
    ),
    "a secret under the name of a variable": (
        _definition(
            executionRoleArn=ROLE,
            containerDefinitions=[container(secrets=_SECRETS, environment=[{"name": "A", "value": "1"}])],
        ),
        "The secret name must be unique",
    ),
    "a log driver that Fargate lacks": (_log({}, "json-file"), "'json-file' is not supported on Fargate"),
    "a log without a stream prefix": (
        _log({key: value for key, value in _LOG_OPTIONS.items() if key != "awslogs-stream-prefix"}),
        "Log driver awslogs requires options: awslogs-stream-prefix",
    ),
    "more cpu in containers than in the task": (_one(cpu=512), "more than the task's 256"),
    "more memory in a container than in the task": (_one(memory=1024), "more than the task's 512"),
    "more memory reserved than allowed": (
        _one(memory=256, memoryReservation=512),
        "'memoryReservation' (512) must not be more than 'memory' (256)",
    ),
    "a restart policy": (_one(restartPolicy={"enabled": True}), "'restartPolicy' is not supported by the embedded"),
    "environment files without an execution role": (
        _one(environmentFiles=[_FILE]),
        "execution role ARN to support environment files",
    ),
    "an environment file that is none": (
        _with_role(environmentFiles=[_FILE | {"value": "arn:aws:s3:::bucket/variables.txt"}]),
        "must be the ARN of an object in S3 whose name ends in .env",
    ),
    "eleven environment files": (_with_role(environmentFiles=[_FILE] * 11), "at most 10 files. Found: 11"),
    "more than 64 KiB": (_one(environment=[{"name": "A", "value": "x" * 65536}]), "Max allowed length is '65536'"),
    "a tag of AWS's own": (_definition(tags=[{"key": "aws:x", "value": ""}]), "must not start with aws:"),
}


@pytest.mark.parametrize("case", REFUSED_DEFINITIONS)
def test_a_definition_that_fargate_refuses_is_refused(engine: EngineProcess, case: str) -> None:
    request, text = REFUSED_DEFINITIONS[case]
    with pytest.raises(ClientError) as refusal:
        engine.ecs.register_task_definition(**request)
    assert refusal.value.response["Error"]["Code"] in (CLIENT, INVALID)
    assert text in refusal.value.response["Error"]["Message"]


def test_every_fargate_size_is_taken_in_numbers_and_in_words(engine: EngineProcess) -> None:
    for cpu, memories in FARGATE_SIZES.items():
        engine.ecs.register_task_definition(**_definition(cpu=str(cpu), memory=str(memories[0])))
    engine.ecs.register_task_definition(**_definition(cpu="1 vCPU", memory="2 GB"))


def test_what_fargate_allows_is_allowed(engine: EngineProcess) -> None:
    engine.ecs.register_task_definition(
        **_definition(
            ephemeralStorage={"sizeInGiB": 21},
            containerDefinitions=[
                container(
                    linuxParameters={"capabilities": {"add": ["SYS_PTRACE"]}, "initProcessEnabled": True},
                    portMappings=[
                        {"containerPort": 80},
                        {"containerPort": 80, "protocol": "udp"},
                        {"containerPortRange": "8000-8010"},
                    ],
                    stopTimeout=120,
                    ulimits=[{"name": "nofile", "softLimit": 1024, "hardLimit": 4096}],
                )
            ],
        )
    )


REFUSED_RUNS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no cluster of that name": ({"cluster": "ghost"}, "ClusterNotFoundException", "Cluster not found."),
    "no such definition": ({"taskDefinition": "ghost:1"}, CLIENT, "TaskDefinition not found."),
    "11 at once": ({"count": 11}, INVALID, "count must be between 1 and 10"),
    "0 at once": ({"count": 0}, INVALID, "count must be between 1 and 10"),
    "launch type and strategy": (
        {"capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]},
        INVALID,
        "both a launch type and capacity provider strategy",
    ),
    "an EC2 launch": ({"launchType": "EC2"}, INVALID, "No Container Instances were found in your cluster."),
    "a launch type that does not exist": ({"launchType": "MOON"}, INVALID, "launch type should be one of"),
    "a long client token": ({"clientToken": "x" * 65}, INVALID, "clientToken must be at most 64 characters"),
    "a tag with brackets": (
        {"tags": [{"key": "test", "value": "test_x[a]"}]},
        INVALID,
        "Tags take letters, digits, spaces",
    ),
    "a client token with a space": ({"clientToken": "a b"}, INVALID, "clientToken takes the characters 33 to 126"),
    "a startedBy with a colon": ({"startedBy": "me:you"}, INVALID, "startedBy takes letters, digits"),
    "a tag's value of AWS's own": ({"tags": [{"key": "x", "value": "aws:y"}]}, INVALID, "must not start with aws:"),
    "a variable without a name": (
        {"overrides": {"containerOverrides": [{"name": "main", "environment": [{"name": " ", "value": "x"}]}]}},
        CLIENT,
        "Environment variable name cannot be null or blank.",
    ),
    "17 subnets": (
        {"networkConfiguration": {"awsvpcConfiguration": {"subnets": [f"subnet-{n}" for n in range(17)]}}},
        INVALID,
        "subnets can have at most 16 items. Found: 17.",
    ),
    "6 security groups": (
        {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["s"], "securityGroups": [*"abcdef"]}}},
        INVALID,
        "securityGroups can have at most 5 items. Found: 6.",
    ),
    "a long startedBy": ({"startedBy": "x" * 129}, INVALID, "startedBy must be at most 128 characters"),
    "a platform that does not exist": ({"platformVersion": "9.9.9"}, UNKNOWN, "platform version doesn't exist"),
    "a platform that is retired": ({"platformVersion": "1.3.0"}, UNKNOWN, "platform version doesn't exist"),
    "no network": ({"networkConfiguration": {}}, INVALID, "Network Configuration must be provided"),
    "no subnet": (
        {"networkConfiguration": {"awsvpcConfiguration": {"subnets": []}}},
        INVALID,
        "subnets can not be empty.",
    ),
    "an unknown subnet": (
        {"networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-0ghost"]}}},
        INVALID,
        "InvalidSubnetID.NotFound",
    ),
    "a container that is not there": (
        {"overrides": {"containerOverrides": [{"name": "ghost"}]}},
        INVALID,
        "Override for container named ghost is not a container in the TaskDefinition.",
    ),
    "overrides of more than 8192 characters": (
        {"overrides": {"containerOverrides": [{"name": "main", "command": ["x" * 8192]}]}},
        INVALID,
        "Container Overrides length must be at most 8192",
    ),
    "a size that does not exist": ({"overrides": {"cpu": "999"}}, CLIENT, "No Fargate configuration exists"),
    "too little storage": ({"overrides": {"ephemeralStorage": {"sizeInGiB": 5}}}, CLIENT, "between 21 GiB and 200"),
    "a role of another account": (
        {"overrides": {"taskRoleArn": "arn:aws:iam::999999999999:role/theirs"}},
        CLIENT,
        "ECS was unable to assume the role",
    ),
    "more memory reserved than the container has": (
        {"overrides": {"containerOverrides": [{"name": "main", "memory": 128, "memoryReservation": 256}]}},
        CLIENT,
        "'memoryReservation' (256) must not be more than 'memory' (128)",
    ),
    "more memory for a container than the task has": (
        {"overrides": {"containerOverrides": [{"name": "main", "memory": 1024}]}},
        CLIENT,
        "Its memory of 1024 MiB is more than the task's 512.",
    ),
    "a tag twice": ({"tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}, INVALID, "Duplicate tag keys"),
    "51 tags": ({"tags": [{"key": str(n), "value": ""} for n in range(51)]}, INVALID, "maximum number of tags is 50"),
}


@pytest.mark.parametrize("case", REFUSED_RUNS)
def test_a_launch_that_fargate_refuses_is_refused(engine: EngineProcess, case: str) -> None:
    fields, code, text = REFUSED_RUNS[case]
    before = engine.ecs.list_tasks(cluster="local")["taskArns"]
    with pytest.raises(ClientError) as refusal:
        engine.run_task(**{"definition": engine.register(container()), **_renamed(fields)})
    assert refusal.value.response["Error"]["Code"] == code
    assert text in refusal.value.response["Error"]["Message"]
    assert engine.ecs.list_tasks(cluster="local")["taskArns"] == before


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    """``taskDefinition`` is a positional of EngineProcess's."""
    return {("definition" if key == "taskDefinition" else key): value for key, value in fields.items()}


@pytest.mark.parametrize(
    ("platform", "text"),
    [
        ({"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}, "runs Linux containers only"),
        pytest.param(
            {"operatingSystemFamily": "LINUX", "cpuArchitecture": "ARM64"},
            "runs ARM64 containers on such machines only",
            marks=pytest.mark.skipif(machine() == "aarch64", reason="this machine is one of them"),
        ),
    ],
)
def test_what_this_machine_cannot_run_is_refused(engine: EngineProcess, platform: dict[str, str], text: str) -> None:
    definition = engine.register(container(), cpu="1024", memory="2048", runtimePlatform=platform)
    with pytest.raises(ClientError, match=text) as refusal:
        engine.run_task(definition)
    assert refusal.value.response["Error"]["Code"] == CLIENT

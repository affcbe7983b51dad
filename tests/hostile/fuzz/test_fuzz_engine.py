"""Whatever comes to the engine's two doors, that for clients and that for tasks, it lives on, as small as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.hostile.fuzz.storm import Storm, Vitals, chosen_seed, in_http_and_without_python
from tests.local.engine_process import ROLE, EngineProcess, container
from tests.local.raw_requests import Keys, Request, Signer
from tests.local.strangers import port_of
from tests.processes import open_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile.fuzz.mutants import Mutants

_ECS, _LOGS = "AmazonEC2ContainerServiceV20141113", "Logs_20140328"
_ECR, _BUILDS = "AmazonEC2ContainerRegistry_V20150921", "CodeBuild_20161006"
_NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED"}}
_OVERRIDES = {"containerOverrides": [{"name": "main", "command": ["x"], "environment": [{"name": "A", "value": "b"}]}]}
_TASK = {
    "family": "fuzzed", "requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512",
    "executionRoleArn": ROLE, "containerDefinitions": [container(portMappings=[{"containerPort": 80}])],
    "volumes": [{"name": "v"}], "ephemeralStorage": {"sizeInGiB": 30}, "tags": [{"key": "k", "value": "v"}],
}  # fmt: skip
_JSON_CALLS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("ecs", f"{_ECS}.RegisterTaskDefinition", _TASK),
    ("ecs", f"{_ECS}.RunTask", {"cluster": "local", "taskDefinition": "none:1", "launchType": "FARGATE", "count": 1,
                                "networkConfiguration": _NETWORK, "overrides": _OVERRIDES, "clientToken": "t"}),
    ("ecs", f"{_ECS}.DescribeTasks", {"cluster": "local", "tasks": ["0" * 32], "include": ["TAGS"]}),
    ("ecs", f"{_ECS}.StopTask", {"cluster": "local", "task": "0" * 32, "reason": "r"}),
    ("ecs", f"{_ECS}.ListTasks", {"cluster": "local", "maxResults": 5, "desiredStatus": "RUNNING"}),
    ("ecs", f"{_ECS}.DescribeTaskDefinition", {"taskDefinition": "fuzzed", "include": ["TAGS"]}),
    ("ecs", f"{_ECS}.DescribeClusters", {"clusters": ["local"], "include": ["TAGS"]}),
    ("ecs", f"{_ECS}.TagResource", {"resourceArn": "arn:aws:ecs:us-east-1:123456789012:cluster/local", "tags": []}),
    ("logs", f"{_LOGS}.GetLogEvents", {"logGroupName": "/g", "logStreamName": "s", "limit": 10, "startFromHead": True}),
    ("ecr", f"{_ECR}.DescribeImages", {"repositoryName": "r", "imageIds": [{"imageTag": "t"}]}),
    ("codebuild", f"{_BUILDS}.BatchGetBuilds", {"ids": ["p:1"]}),
    ("codebuild", f"{_BUILDS}.StartBuild", {"projectName": "p", "environmentVariablesOverride": []}),
    ("secretsmanager", "secretsmanager.GetSecretValue", {"SecretId": "s"}),
    ("ssm", "AmazonSSM.GetParameter", {"Name": "/p", "WithDecryption": True}),
)  # fmt: skip
_FORMS: tuple[tuple[str, dict[str, str]], ...] = (
    ("sts", {"Action": "GetCallerIdentity", "Version": "2011-06-15"}),
    ("sts", {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": ROLE, "RoleSessionName": "s"}),
    ("ec2", {"Action": "DescribeNetworkInterfaces", "Version": "2016-11-15", "NetworkInterfaceId.1": "eni-1"}),
    ("ec2", {"Action": "DescribeSubnets", "Version": "2016-11-15", "Filter.1.Name": "vpc-id", "Filter.1.Value.1": "x"}),
    ("iam", {"Action": "GetRole", "Version": "2010-05-08", "RoleName": "r"}),
)
_OBJECTS = (("GET", "/fuzzed/a%20key", ""), ("PUT", "/fuzzed/key", ""), ("HEAD", "/fuzzed/key", ""), ("GET", "/", ""),
            ("GET", "/fuzzed", "list-type=2&prefix=a&max-keys=2"), ("DELETE", "/fuzzed/key", ""),
            ("POST", "/fuzzed/big", "uploads="), ("PUT", "/fuzzed/big", "partNumber=1&uploadId=x"))  # fmt: skip
_OF_S3 = 8
"""Objects that are there have a file each, if they are large; uploads in parts do."""
_GROWTH_KIB = 40 * 1024


class Clients:
    """Requests of somebody who holds the engine's keys, and who errs; and of what runs in a task."""

    def __init__(self, engine: EngineProcess) -> None:
        self._keys = Keys.printed(engine.exports)

    def request(self, mutants: Mutants) -> bytes:
        kinds = (self._json, self._json, self._json, self._form, self._object, self._faults)
        request = mutants.random.choice(kinds)(mutants)
        return _damaged(request.encode(), mutants)

    def at_gate(self, mutants: Mutants) -> bytes:
        """Presigned, for the most part."""
        method, path, query = mutants.random.choice(_OBJECTS)
        request = Request(method, path, query, body=b"x" * mutants.random.choice((0, 10, 3000)))
        if mutants.chance(0.8):
            request = Signer(self._keys, "s3", payload="UNSIGNED-PAYLOAD").presign(request)
        if mutants.chance(0.2):
            request = replace(request, query=mutants.raw(request.query.encode()).decode("latin-1"))
        return _damaged(request.encode(), mutants)

    def _json(self, mutants: Mutants) -> Request:
        service, target, valid = mutants.random.choice(_JSON_CALLS)
        body = mutants.json(valid) if mutants.chance(0.8) else json.dumps(valid).encode()
        headers = (("X-Amz-Target", target), ("Content-Type", "application/x-amz-json-1.1"))
        return self._signed(Request(headers=headers, body=body), service)

    def _form(self, mutants: Mutants) -> Request:
        service, valid = mutants.random.choice(_FORMS)
        pairs = mutants.value(valid) if mutants.chance(0.8) else valid
        pairs = pairs if isinstance(pairs, dict) else {"Action": str(pairs)}
        body = "&".join(f"{name}={value}" for name, value in pairs.items()).encode("utf-8", "replace")
        headers = (("Content-Type", "application/x-www-form-urlencoded"),)
        return self._signed(Request(headers=headers, body=body), service)

    def _object(self, mutants: Mutants) -> Request:
        method, path, query = mutants.random.choice(_OBJECTS)
        query = mutants.raw(query.encode()).decode("latin-1") if query and mutants.chance(0.4) else query
        path = "/" + mutants.raw(path[1:].encode()).decode("latin-1") if mutants.chance(0.4) else path
        return self._signed(Request(method, path, query, body=b"x" * mutants.random.choice((0, 10, 3000))), "s3")

    def _faults(self, mutants: Mutants) -> Request:
        headers = (("Authorization", "Bearer " + self._keys.secret),)
        return Request(path="/_engine/faults", headers=headers, body=mutants.json({"slow-pull": 0.0}))

    def _signed(self, request: Request, service: str) -> Request:
        return Signer(self._keys, service).sign(request)


def _damaged(data: bytes, mutants: Mutants) -> bytes:
    how = mutants.random.randrange(12)
    if how == 0:
        return mutants.raw(data)
    if how == 1:
        return mutants.head(data)
    return mutants.random.randbytes(300) if how == 2 and mutants.chance(0.2) else data


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    engine = EngineProcess(log=tmp_path / "log.jsonl")
    yield engine
    assert engine.close() == 0


def test_it_lives_on_whatever_is_sent(
    engine: EngineProcess, pytestconfig: pytest.Config, capfd: pytest.CaptureFixture[str]
) -> None:
    soak = pytestconfig.getoption("soak")
    clients = Clients(engine)
    engine.client("s3").create_bucket(Bucket="fuzzed")
    seed = chosen_seed(soak)
    front = Storm(seed, port_of(engine), clients.request, in_http_and_without_python)
    gate = Storm(seed, _gate_of(engine), clients.at_gate, in_http_and_without_python)
    quiet = Vitals.of(engine.process.pid)
    front.blow(150)
    warm = Vitals.of(engine.process.pid)
    front.blow(450, seconds=500 if soak else 0)
    gate.blow(200, seconds=100 if soak else 0)
    with capfd.disabled():
        print(f"seed {seed}: {front.sent} requests {front.statuses}, at the gate {gate.sent} {gate.statuses}")
    assert front.complaints + gate.complaints == []
    quiet.wait_until_as_quiet_again(descriptors=_OF_S3)
    assert Vitals.of(engine.process.pid).memory_kib < warm.memory_kib + _GROWTH_KIB
    assert engine.log_lines("error") == []
    assert "Traceback" not in capfd.readouterr().err
    engine.set_faults(slow_pull=0)  # which it may have been told to be
    arn = engine.launch(engine.register(container(script="exit 7")))
    assert engine.wait(arn, "STOPPED")["containers"][0]["exitCode"] == 7
    assert {200, 400, 403, 404} <= front.statuses.keys()
    assert {200, 400, 403} <= gate.statuses.keys()


def _gate_of(engine: EngineProcess) -> int:
    """The engine's other listening port."""
    sockets = {each.strip("socket:[]") for each in open_files(engine.process.pid)}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = {int(row[1].partition(":")[2], 16) for row in rows if row[9] in sockets and row[3] == "0A"}
    [gate] = ports - {port_of(engine)}
    return gate

"""A real engine in a process of its own, and a plain boto3 client of it, as any foreign program has."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from tests.warm_engine import PROGRAM, Popen

ROLE = "arn:aws:iam::123456789012:role/ecsTaskExecutionRole"


OF_A_PROXY = "p4ssw0rd-of-a-proxy"
"""A password that is this machine's alone."""


class EngineProcess:
    """``fargate-sandbox engine`` by hand: its printed exports are all that is known of it."""

    def __init__(self, *options: str, log: Path | None = None) -> None:
        self.log = log
        logged = ["--log", str(log)] if log else []
        # An engine by hand has no owner; this one ends with the tests, also when they are killed.
        self.process = Popen[str](
            [*PROGRAM, *options, *logged],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "FTP_PROXY": f"ftp://somebody:{OF_A_PROXY}@127.0.0.1:9"},  # which nobody uses
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.exports: dict[str, str] = {}
        for line in self.process.stdout:
            if not line.startswith("export "):
                break
            name, _, value = shlex.split(line)[1].partition("=")
            self.exports[name] = value
        assert self.exports, f"the engine did not start: exit code {self.process.wait(60)}"
        self._clients: dict[str, Any] = {}

    def client(self, service: str, **config: Any) -> Any:
        key = f"{service}{config}"
        if key not in self._clients:
            self._clients[key] = boto3.client(
                service,
                endpoint_url=self.exports["AWS_ENDPOINT_URL"],
                region_name=self.exports["AWS_REGION"],
                aws_access_key_id=self.exports["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=self.exports["AWS_SECRET_ACCESS_KEY"],
                config=Config(retries={"total_max_attempts": 1}, **config),
            )
        return self._clients[key]

    @property
    def ecs(self) -> Any:
        return self.client("ecs")

    def raw_ecs_call(self, operation: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """A call past botocore's own check of the parameters, and its answer as it came."""
        headers = {
            "X-Amz-Target": f"AmazonEC2ContainerServiceV20141113.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
        }
        signed = AWSRequest("POST", self.exports["AWS_ENDPOINT_URL"] + "/", data=json.dumps(body), headers=headers)
        keys = Credentials(self.exports["AWS_ACCESS_KEY_ID"], self.exports["AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(keys, "ecs", self.exports["AWS_REGION"]).add_auth(signed)
        request = urllib.request.Request(signed.url, data=signed.data.encode(), headers=dict(signed.headers))
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def set_faults(self, **values: float) -> dict[str, float]:
        request = urllib.request.Request(
            self.exports["AWS_ENDPOINT_URL"] + "/_engine/faults",
            data=json.dumps({name.replace("_", "-"): value for name, value in values.items()}).encode(),
            headers={"Authorization": "Bearer " + self.exports["AWS_SECRET_ACCESS_KEY"]},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            in_force: dict[str, float] = json.load(answer)
        return in_force

    def network(self) -> dict[str, Any]:
        if "network" not in self._clients:
            subnets = self.client("ec2").describe_subnets()["Subnets"]
            groups = self.client("ec2").describe_security_groups()["SecurityGroups"]
            self._clients["network"] = {
                "awsvpcConfiguration": {
                    "subnets": [subnets[0]["SubnetId"]],
                    "securityGroups": [groups[0]["GroupId"]],
                    "assignPublicIp": "ENABLED",
                }
            }
        network: dict[str, Any] = self._clients["network"]
        return network

    def register(self, *containers: dict[str, Any], **fields: Any) -> str:
        """A Fargate task definition of these containers; its ARN."""
        request = {
            "family": "test",
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": list(containers),
            **fields,
        }
        arn: str = self.ecs.register_task_definition(**request)["taskDefinition"]["taskDefinitionArn"]
        return arn

    def launch(self, definition: str, **fields: Any) -> str:
        """RunTask of one; the task's ARN."""
        answer = self.run_task(definition, **fields)
        assert not answer["failures"], answer["failures"]
        arn: str = answer["tasks"][0]["taskArn"]
        return arn

    def run_task(self, definition: str, **fields: Any) -> dict[str, Any]:
        request = {
            "cluster": "local",
            "taskDefinition": definition,
            "launchType": "FARGATE",
            "networkConfiguration": self.network(),
            **fields,
        }
        answer: dict[str, Any] = self.ecs.run_task(**request)
        return answer

    def describe(self, arn: str) -> dict[str, Any]:
        answer = self.ecs.describe_tasks(cluster="local", tasks=[arn], include=["TAGS"])
        assert answer["tasks"], answer["failures"]
        task: dict[str, Any] = answer["tasks"][0]
        return task

    def wait(self, arn: str, status: str, deadline: float = 40.0) -> dict[str, Any]:
        """The task as described when it has got to ``status``; one that stopped before it is a failure at once."""

        def probe() -> dict[str, Any] | None:
            task = self.describe(arn)
            if task["lastStatus"] == status:
                return task
            if task["lastStatus"] == "STOPPED":
                raise AssertionError(f"stopped: {task['stoppedReason']} {container_states(task)}")
            raise NotYet(task["lastStatus"])

        return wait_until(probe, deadline=deadline, what=f"{status} of {arn}", longest_pause=0.1)

    def stop(self, arn: str) -> dict[str, Any]:
        self.ecs.stop_task(cluster="local", task=arn)
        return self.wait(arn, "STOPPED")

    def address(self, arn: str) -> str:
        """Where the task's ports answer, as EC2 tells it."""
        details = {item["name"]: item["value"] for item in self.describe(arn)["attachments"][0]["details"]}
        interface = self.client("ec2").describe_network_interfaces(NetworkInterfaceIds=[details["networkInterfaceId"]])
        address: str = interface["NetworkInterfaces"][0]["Association"]["PublicIp"]
        return address

    def log_lines(self, kind: str) -> list[dict[str, Any]]:
        assert self.log is not None
        lines = map(json.loads, self.log.read_text().splitlines())
        return [line for line in lines if line["kind"] == kind]

    def close(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        for client in self._clients.values():
            if hasattr(client, "close"):
                client.close()
        return code


WAIT = "trap 'exit 143' TERM; sleep 100 & wait"
"""Ends at once when told to: a plain ``sleep`` would not, since a first process ignores what it has no handler for."""


def container(name: str = "main", script: str = WAIT, **fields: Any) -> dict[str, Any]:
    """A container that runs a shell script in the host's image."""
    return {
        "name": name,
        "image": "host",
        "entryPoint": ["/bin/sh", "-c"],
        "command": [script],
        "stopTimeout": 2,
        **fields,
    }


def container_states(task: dict[str, Any]) -> dict[str, Any]:
    return {item["name"]: (item["lastStatus"], item.get("exitCode"), item.get("reason")) for item in task["containers"]}


def processes_of(first: int) -> list[int]:
    """``first`` and every process that descends from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        state = _state(entry.name)
        if state and state[0] != "Z":
            parents[int(entry.name)] = int(state[1])
    family = {first}
    while True:
        grown = family | {pid for pid, parent in parents.items() if parent in family}
        if grown == family:
            return sorted(pid for pid in family if pid in parents)
        family = grown


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if (_state(str(pid)) or "Z")[0] != "Z"]


def _state(pid: str) -> list[str]:
    """State, parent and so on, as the kernel tells them; nothing of what has ended."""
    try:
        return Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return []


def wait_for_end(pids: list[int], deadline: float = 30.0) -> None:
    wait_until(lambda: None if alive(pids) else True, deadline=deadline, what=f"the end of processes {pids}")

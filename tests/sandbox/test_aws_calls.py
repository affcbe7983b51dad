"""Every call that we make, held against AWS's own service models and Fargate's rules, without an account.

The calls are the real ones: taken from the real client while whole sandboxes live and die on the engine.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import EcsFargateSandbox, OutsideEndpoint, SshSidecarConfig
from pytest_fargate_sandbox.records.sweeping import sweep_expired
from tests.providers.aws_rules import problems
from tests.providers.iam_policies import Ask, asks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from botocore.model import OperationModel

    from pytest_fargate_sandbox import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from tests.engine_of_tests import EngineOfTests


class Calls:
    """What a connection's clients are asked to send, in order."""

    def __init__(self) -> None:
        self.made: list[tuple[OperationModel, dict[str, Any]]] = []

    def watch(self, aws: Aws) -> None:
        """All clients that ``aws`` makes from now on have it from their session."""
        aws.disconnect()
        aws._session.register("provide-client-params", self._note)

    def ignore(self, aws: Aws) -> None:
        aws.disconnect()

    def _note(self, params: dict[str, Any], model: OperationModel, **_: Any) -> None:
        self.made.append((model, params))

    @property
    def operations(self) -> set[str]:
        return {model.name for model, _ in self.made}

    def asks(self, owner: str, region: str) -> list[Ask]:
        """What IAM decides about them."""
        return [
            ask
            for model, params in self.made
            for ask in asks(model.service_model.endpoint_prefix, model.name, params, region=region, owner=owner)
        ]

    @property
    def problems(self) -> list[str]:
        return [f"{model.name}: {each}" for model, params in self.made for each in problems(model, params)]


@pytest.fixture
def calls(engine: EngineOfTests) -> Iterator[Calls]:
    calls = Calls()
    calls.watch(engine.aws)
    yield calls
    calls.ignore(engine.aws)


def test_a_life_in_exec_server_mode(
    calls: Calls, sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests, tmp_path: Path
) -> None:
    engine.aws.call("s3", "CreateBucket", Bucket="calls")
    big = tmp_path / "big"
    big.write_bytes(b"x" * 600_000)
    mine = sandbox(
        "tests/a.py::test[x-ü]",
        cpu="8192",
        memory="16384",
        ephemeral_storage_gib=21,
        tags={"team": "a & b"},
        s3_bucket="calls",
        extra_env={"A": "{task_id}"},
        user="0",
    )
    mine.start(outside_endpoints=[OutsideEndpoint("http://127.0.0.1:9/", "URL")])
    mine.upload(big, "/tmp/big")
    mine.describe_task()
    mine.logs()
    kept = mine.keep()
    sweep_expired(engine.aws, "local", mine.owner)
    mine.aws.call("ecs", "StopTask", cluster="local", task=kept.task_arn, reason="test")
    kept.forget()
    assert calls.problems == []
    assert {
        "RegisterTaskDefinition",
        "RunTask",
        "DescribeTasks",
        "StopTask",
        "TagResource",
        "ListTasks",
    } <= calls.operations
    assert {"GetLogEvents", "HeadObject", "PutObject"} <= calls.operations


@pytest.mark.parametrize("runtime", ["sidecar", "image"])
def test_every_other_way_to_register_exec_server_mode(
    calls: Calls, sandbox: Callable[..., EcsFargateSandbox], runtime: str
) -> None:
    _start_and_stop(sandbox(memory="1024", runtime=runtime))
    assert calls.problems == []


def test_a_life_in_agent_mode(calls: Calls, sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests) -> None:
    main = {"name": "main", "image": "host", "entryPoint": ["python3", "-m", "http.server", "8000"]}
    base = {"cpu": "256", "memory": "512", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"]}
    engine.aws.call("ecs", "RegisterTaskDefinition", family="served", containerDefinitions=[main], **base)
    mine = sandbox(ssh_sidecar=SshSidecarConfig(), container_port=8000, task_definition="served")
    mine.start(outside_endpoints=[OutsideEndpoint("http://127.0.0.1:9/", "URL")])
    mine.stop()
    assert calls.problems == []


def test_a_life_on_an_account_needs_what_the_documented_policies_allow_and_no_more(
    calls: Calls,
    engine: EngineOfTests,
    local_config: Callable[..., EcsFargateConfig],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    local = engine.engine
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # nobody has asked yet who these credentials are
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", local.credentials.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", local.credentials.secret_access_key)
    cfg = dataclasses.replace(
        local.localized(local_config()),
        cluster="default",
        assign_public_ip=True,
        connect_via="auto",
        capacity_provider="FARGATE_SPOT",
        task_definition_family_prefix="ecs-sandbox-of-this-test",
    )
    mine = EcsFargateSandbox(cfg, task_id="t", run_id="r")
    calls.watch(mine.aws)
    mine.start()
    mine.logs()
    kept = mine.keep()
    sweep_expired(mine.aws, "default", mine.owner)
    mine.aws.call("ecs", "StopTask", cluster="default", task=kept.task_arn, reason="test")
    kept.forget()
    calls.ignore(mine.aws)
    assert calls.problems == []
    assert calls.operations == {
        *("GetCallerIdentity", "DescribeNetworkInterfaces", "CreateLogGroup", "GetLogEvents"),
        *("DescribeTaskDefinition", "RegisterTaskDefinition", "RunTask", "DescribeTasks", "StopTask", "ListTasks"),
        "TagResource",
    }
    there = {
        "eu-west-1": mine.aws.region,
        "bench": "default",
        "OWNER": mine.owner,
        "arn:aws:iam::123456789012:role/ecs-execution": str(cfg.execution_role_arn),
        "/my/group": str(cfg.log_group),
    }
    assert [ask for ask in calls.asks(mine.owner, mine.aws.region) if not ask.is_let_through(there)] == []
    others = {**there, "OWNER": "somebody else", "bench": "another"}
    refused = {ask.action for ask in calls.asks(mine.owner, mine.aws.region) if not ask.is_let_through(others)}
    assert refused == {"ecs:RunTask", "ecs:DescribeTasks", "ecs:ListTasks", "ecs:StopTask", "ecs:TagResource"}


def _start_and_stop(mine: EcsFargateSandbox) -> None:
    with mine:
        mine.start()
        assert mine.exec("true").ok

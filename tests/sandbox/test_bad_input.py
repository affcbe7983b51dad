"""Whatever is wrong has an error of its own, with the remedy, within seconds, and nothing is left running."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
from pytest_fargate_sandbox.leaves.errors import ConfigError, SandboxError, StartError
from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.place.resolve_place import resolve_place

if TYPE_CHECKING:
    from tests.engine_of_tests import EngineOfTests

EXEC = SshSidecarConfig(exec_server_port=19542)


@pytest.fixture
def account(engine: EngineOfTests, monkeypatch: pytest.MonkeyPatch) -> EcsFargateConfig:
    """The engine as an AWS account: its address, and credentials where AWS's own tools look for them."""
    local = engine.engine
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", local.credentials.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", local.credentials.secret_access_key)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return EcsFargateConfig(
        cluster="default",
        region=local.region,
        endpoint_url=local.endpoint_url,
        subnets=list(local.subnets[:1]),
        security_groups=list(local.security_groups),
        assign_public_ip=True,
        execution_role_arn=local.execution_role_arn,
        image_template="host",
        cpu="256",
        memory="512",
        ssh_sidecar=EXEC,
        run_task_max_retries=2,
    )


def test_an_account_is_used_like_the_local_cluster(account: EcsFargateConfig, engine: EngineOfTests) -> None:
    engine.fault(late_address=0.5)
    cfg = dataclasses.replace(account, connect_via="public")
    with EcsFargateSandbox(cfg, task_id="t", run_id="r") as sandbox:
        try:
            sandbox.start()
        finally:
            engine.fault(late_address=0)
        assert sandbox.exec("echo hello").stdout == "hello\n"
        assert "123456789012" in sandbox.owner


def test_the_log_group_is_made_by_who_launches_and_asked_for_once(
    account: EcsFargateConfig, engine: EngineOfTests
) -> None:
    cfg = dataclasses.replace(account, log_group="/made/by/us")
    calls = []
    for number in range(2):
        before = len(engine.lines("call"))
        with EcsFargateSandbox(cfg, task_id=f"t{number}", run_id="r") as sandbox:
            sandbox.start()
        calls.append([line["operation"] for line in engine.lines("call")[before:]])
    assert calls[0].index("CreateLogGroup") < calls[0].index("RunTask")
    assert "CreateLogGroup" not in calls[1]


NOT_THERE = "arn:aws:secretsmanager:us-east-1:123456789012:secret:nope"


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"subnets": ["subnet-0123456789abcdef0"]}, "`subnets`"),
        ({"security_groups": ["sg-0123456789abcdef0"]}, "`security_groups`"),
        ({"execution_role_arn": "arn:aws:iam::999999999999:role/nope"}, "`execution_role_arn`"),
        ({"cluster": "nowhere"}, "no ECS cluster 'nowhere'"),
        ({"cluster": ""}, "`cluster` is empty"),
        ({"subnets": []}, "`subnets` is empty"),
        ({"image_template": "nope:1"}, "nope:1"),
        ({"image_template": "{nope}"}, "only {task_id}"),
        ({"image_template": None}, "image_template"),
        ({"task_definition": "nope", "execution_role_arn": None}, "`task_definition`"),
        ({"image_template": None, "task_definition": "nope"}, "`task_definition`"),
        ({"ssh_sidecar": None}, "ssh_sidecar is not configured"),
        (
            {
                "ssh_sidecar": SshSidecarConfig(
                    exec_server_port=1, public_key_secret_arn=NOT_THERE, private_key_secret_arn=NOT_THERE
                )
            },
            NOT_THERE,
        ),
        ({"ssm_config": "/nope"}, "no SSM parameter '/nope'"),
        ({"endpoint_url": "http://127.0.0.1:9"}, "http://127.0.0.1:9"),
        ({"connect_via": "public", "assign_public_ip": False}, "`assign_public_ip`"),
        ({"capacity_provider": "FARGATE_SPOT", "platform_version": "9.9.9"}, "`platform_version`"),
        ({"platform_version": "1.3.0"}, "`platform_version`"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_wrong_setting_is_named(
    account: EcsFargateConfig, engine: EngineOfTests, wrong: dict[str, Any], remedy: str
) -> None:
    before = set(engine.alive())
    sandbox = EcsFargateSandbox(dataclasses.replace(account, **wrong), task_id="t", run_id="r")
    began = time.monotonic()
    with sandbox, pytest.raises((ConfigError, StartError)) as caught:
        sandbox.start()
    assert remedy in str(caught.value)
    assert time.monotonic() - began < 10
    assert not getattr(caught.value, "transient", False) or "127.0.0.1:9" in remedy
    assert set(engine.alive()) <= before
    assert not sandbox.is_running


def test_a_definition_that_is_not_there_is_done_without_where_that_can_be(account: EcsFargateConfig) -> None:
    cfg = dataclasses.replace(account, task_definition="not-there")
    with EcsFargateSandbox(cfg, task_id="t", run_id="r") as sandbox:
        with pytest.warns(RuntimeWarning, match="no task definition 'not-there' to clone"):
            sandbox.start()
        assert sandbox.exec("true").ok


def test_a_wrong_command_is_named_with_the_container(account: EcsFargateConfig, engine: EngineOfTests) -> None:
    main = {"name": "main", "image": "host", "entryPoint": ["/no/such/program"]}
    engine.aws.call(
        "ecs",
        "RegisterTaskDefinition",
        family="no-such-program",
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[main],
    )
    cfg = dataclasses.replace(
        account,
        task_definition="no-such-program",
        image_template=None,
        container_port=80,
        ssh_sidecar=SshSidecarConfig(),
    )
    before = engine.alive()
    with pytest.raises(StartError, match="/no/such/program") as caught:
        EcsFargateSandbox(cfg, task_id="t", run_id="r").start()
    assert "command" in str(caught.value)
    assert set(engine.alive()) <= set(before)


def test_no_credentials_at_all(account: EcsFargateConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    cfg = dataclasses.replace(account, endpoint_url=str(account.endpoint_url) + "/")
    with pytest.raises(StartError, match="no usable AWS credentials"):
        EcsFargateSandbox(cfg, task_id="t", run_id="r").start()


def test_no_region_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    cfg = EcsFargateConfig(cluster="c", ssh_sidecar=EXEC)
    with pytest.raises(StartError, match="name a region"):
        EcsFargateSandbox(cfg, task_id="t", run_id="r").start()


def test_a_parameter_that_is_not_json(account: EcsFargateConfig, engine: EngineOfTests) -> None:
    engine.aws.call("ssm", "PutParameter", Name="/broken", Value="{", Type="String", Overwrite=True)
    cfg = dataclasses.replace(account, ssm_config="/broken")
    with pytest.raises(ConfigError, match="not JSON"):
        EcsFargateSandbox(cfg, task_id="t", run_id="r").start()


def test_a_shared_parameter_fills_in_what_was_left_out(account: EcsFargateConfig, engine: EngineOfTests) -> None:
    shared = f'{{"subnets": "{account.subnets[0]}", "cluster": "nowhere", "memory": 1024, "image_template": "host"}}'
    engine.aws.call("ssm", "PutParameter", Name="/shared", Value=shared, Type="String", Overwrite=True)
    cfg = dataclasses.replace(account, ssm_config="/shared", subnets=[], image_template=None)
    with EcsFargateSandbox(cfg, task_id="t", run_id="r") as sandbox:
        sandbox.start()
        assert sandbox.cfg.cluster == "default", "explicit values win"
        assert list(sandbox.cfg.subnets) == list(account.subnets)


def test_a_shared_parameter_names_the_cluster_and_what_is_left_out_of_a_sidecar(
    account: EcsFargateConfig, engine: EngineOfTests
) -> None:
    shared = '{"cluster": "shared", "ssh_sidecar": {"sshd_port": 2200, "exec_server_port": 1}}'
    engine.aws.call("ssm", "PutParameter", Name="/whole", Value=shared, Type="String", Overwrite=True)
    found = resolve_place(dataclasses.replace(account, cluster="", ssm_config="/whole")).cfg
    assert (found.cluster, found.ssh_sidecar) == ("shared", dataclasses.replace(EXEC, sshd_port=2200))


def test_keys_may_come_from_secrets(account: EcsFargateConfig, engine: EngineOfTests) -> None:
    from tests.fresh_keys import fresh_key_pair

    pair = fresh_key_pair()
    create = {"private": pair.private, "public": pair.public}
    arns = {
        name: engine.aws.call("secretsmanager", "CreateSecret", Name=f"key-{name}", SecretString=value)["ARN"]
        for name, value in create.items()
    }
    sidecar = SshSidecarConfig(
        exec_server_port=19542, public_key_secret_arn=arns["public"], private_key_secret_arn=arns["private"]
    )
    with EcsFargateSandbox(dataclasses.replace(account, ssh_sidecar=sidecar), task_id="t", run_id="r") as sandbox:
        sandbox.start()
        assert sandbox.exec("true").ok


def test_a_secret_that_is_no_key_is_named(account: EcsFargateConfig, engine: EngineOfTests) -> None:
    arn = engine.aws.call("secretsmanager", "CreateSecret", Name="of-bytes", SecretBinary=b"\xffno key")["ARN"]
    sidecar = SshSidecarConfig(exec_server_port=19542, public_key_secret_arn=arn, private_key_secret_arn=arn)
    with pytest.raises(ConfigError, match=f"the secret {arn}: not a usable SSH private key"):
        EcsFargateSandbox(dataclasses.replace(account, ssh_sidecar=sidecar), task_id="t", run_id="r").start()


def test_a_secret_that_the_task_cannot_have_is_told_by_the_task(
    account: EcsFargateConfig, engine: EngineOfTests
) -> None:
    """ECS itself fetches the public key, after RunTask has said that all is well."""
    from tests.fresh_keys import fresh_key_pair

    private = engine.aws.call(
        "secretsmanager", "CreateSecret", Name="key-lonely", SecretString=fresh_key_pair().private
    )["ARN"]
    sidecar = SshSidecarConfig(exec_server_port=19542, public_key_secret_arn=NOT_THERE, private_key_secret_arn=private)
    cfg = dataclasses.replace(account, ssh_sidecar=sidecar)
    before = engine.alive()
    with pytest.raises(StartError, match="check the secret's ARN") as caught:
        EcsFargateSandbox(cfg, task_id="t", run_id="r").start()
    assert caught.value.cause == Cause.START_FAILED
    assert not caught.value.transient
    assert set(engine.alive()) <= set(before)


def test_every_error_of_a_start_is_ours(account: EcsFargateConfig) -> None:
    cfg = dataclasses.replace(account, subnets=["not a subnet"])
    with pytest.raises(SandboxError):
        EcsFargateSandbox(cfg, task_id="t", run_id="r").start()

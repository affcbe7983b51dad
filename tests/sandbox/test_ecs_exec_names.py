"""What somebody wrote for the older library, with another import line."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.ecs_exec import (
    AwsCliMissingError,
    EcsExecError,
    EcsFargateConfig,
    EcsFargateSandbox,
    NemoSandboxCommand,
)
from pytest_fargate_sandbox.leaves.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests

ORDER = [
    "region", "cluster", "task_definition", "container_name", "subnets", "security_groups", "assign_public_ip",
    "image_template", "register_task_definition_per_task", "cpu", "memory", "execution_role_arn", "task_role_arn",
    "log_group", "log_stream_prefix", "max_task_lifetime_sec", "run_task_max_retries", "s3_bucket", "s3_prefix",
    "ecs_exec_timeout_sec",
]  # fmt: skip


@pytest.fixture(scope="module")
def sandbox(_engine_of_tests: EngineOfTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EcsFargateSandbox]:
    tests = tmp_path_factory.mktemp("tests")
    (tests / "run.sh").write_text("echo ran")
    cfg = EcsFargateConfig(cluster="local", cpu="1024", memory="2048")
    with EcsFargateSandbox.spin_up(
        cfg=cfg,
        task_id="task",
        trial_name="trial 1/x",
        run_id="run",
        pre_upload_paths=[tests / "run.sh"],
        upload_dest_dir="/tests",
    ) as sandbox:
        yield sandbox


def test_a_configuration_takes_what_it_took_in_its_order() -> None:
    assert list(inspect.signature(EcsFargateConfig).parameters) == ORDER
    cfg = EcsFargateConfig("eu-west-1", "c")
    assert (cfg.cpu, cfg.memory, cfg.s3_prefix, cfg.log_stream_prefix) == ("8192", "32768", *["nemo-evaluator"] * 2)
    assert (cfg.max_task_lifetime_sec, cfg.run_task_max_retries, cfg.ecs_exec_timeout_sec) == (10800, 30, 180)
    assert cfg.register_task_definition_per_task
    ours = cfg.of_this_library("trial 1/x")
    assert ours.ecs_exec
    assert ours.ssh_sidecar is None
    assert ours.s3_prefix == "nemo-evaluator/trial-1-x"


def test_without_a_definition_for_each_task_the_named_ones_image_runs() -> None:
    named = {"task_definition": "base:3", "image_template": "image:1"}
    assert EcsFargateConfig(**named).of_this_library("t").image_template == "image:1"
    for kept in (EcsFargateConfig(**named, register_task_definition_per_task=False), EcsFargateConfig(**named)):
        ours = kept.of_this_library("t")
        is_kept = not kept.register_task_definition_per_task
        assert (ours.definition_as_is, ours.image_template) == (is_kept, None if is_kept else "image:1")
    assert EcsFargateConfig(task_definition="base:3").of_this_library("t").definition_as_is


@pytest.mark.root
def test_commands_know_where_the_tests_are_which_were_uploaded(sandbox: EcsFargateSandbox) -> None:
    ran = sandbox.container.exec_run("sh $TEST_DIR/run.sh; echo to stderr >&2; exit 3")
    assert ran.exit_code == 3
    assert sorted(ran.output.splitlines()) == [b"ran", b"to stderr"]
    assert sandbox.container.exec_run("id -un", user="nobody").output == b"nobody\n"
    assert sandbox.container.attrs["State"]["Running"]


def test_a_trial_is_a_tag_of_its_task(sandbox: EcsFargateSandbox, engine: EngineOfTests) -> None:
    tags = {each["key"]: each["value"] for each in engine.task(str(sandbox.task_arn))["tags"]}
    assert tags["fargate-sandbox:trial"] == "trial 1/x"


def test_a_session_types_and_copies_and_has_the_container(sandbox: EcsFargateSandbox, tmp_path: Path) -> None:
    session = sandbox.create_session("main")
    session.send_command(NemoSandboxCommand("echo here; cd /tmp", block=True))
    assert "here" in session.capture_pane()
    (tmp_path / "file").write_text("content")
    session.copy_to_sandbox(tmp_path / "file", container_dir="/tmp/there", container_filename="other")
    assert session.container.exec_run(["cat", "/tmp/there/other"]).output == b"content"
    session.stop()


def test_a_command_is_given_its_least_time(sandbox: EcsFargateSandbox) -> None:
    assert sandbox.exec("sleep 1.2; echo done", timeout_sec=1).stdout == "done\n"


def test_what_cannot_be_carried_out_is_an_error_of_that_name(sandbox: EcsFargateSandbox) -> None:
    with pytest.raises(EcsExecError, match="nobody-here"):
        sandbox.container.exec_run("true", user="nobody-here")
    assert issubclass(AwsCliMissingError, EcsExecError)
    assert issubclass(EcsExecError, SandboxError)


def test_credentials_are_checked_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    cfg = EcsFargateConfig("eu-west-1", "bench", task_role_arn="arn:aws:iam::123456789012:role/task")
    with (
        pytest.raises(EcsExecError, match="aws configure"),
        EcsFargateSandbox.spin_up(cfg=cfg, task_id="x", trial_name="x", run_id="x"),
    ):
        pass

"""The names of an older library that reached its tasks by ECS Exec: for its users the import line alone changes.

Behind them is ECS Exec mode: nothing is read off a screen, exit codes are true, bytes are whole, and neither the AWS
CLI nor a plugin of it is run.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox import ecs_fargate
from pytest_fargate_sandbox.leaves import config
from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER, TAG_PREFIX
from pytest_fargate_sandbox.providers.aws.aws import connect
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.sandbox.terminals.terminal_session import TerminalCommand, TerminalSession, copy_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    from pytest_fargate_sandbox.leaves.results import ExecResult

__all__ = ["AwsCliMissingError", "EcsExecError", "EcsFargateConfig", "EcsFargateSandbox", "NemoSandboxCommand"]

TAG_TRIAL = TAG_PREFIX + "trial"
_TEST_DIR = "/tests"
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


class EcsExecError(SandboxError):
    """What was asked for could not be carried out; that a command returned something else than 0 is no such thing."""


class AwsCliMissingError(EcsExecError):
    """Never raised: the AWS CLI is not needed. Who catches it need not change that."""


class NemoSandboxCommand(TerminalCommand):
    """What ``send_command`` of a session takes."""


@dataclass(frozen=True)
class EcsFargateConfig:
    """In the order in which these were always given."""

    region: str | None = None
    cluster: str = ""
    task_definition: str | None = None
    container_name: str = "main"
    subnets: Sequence[str] = field(default_factory=list)
    security_groups: Sequence[str] = field(default_factory=list)
    assign_public_ip: bool = False
    image_template: str | None = None
    register_task_definition_per_task: bool = True
    """False, or no image: the named definition runs as it is. Else one is registered, for all tasks of a kind."""
    cpu: str = "8192"
    memory: str = "32768"
    execution_role_arn: str | None = None
    task_role_arn: str | None = None
    log_group: str | None = None
    log_stream_prefix: str | None = "nemo-evaluator"
    max_task_lifetime_sec: int = 10800
    run_task_max_retries: int = 30
    s3_bucket: str | None = None
    s3_prefix: str | None = "nemo-evaluator"
    ecs_exec_timeout_sec: float = 180
    """The least time-out of a command."""

    def of_this_library(self, trial_name: str) -> config.EcsFargateConfig:
        as_it_is = bool(self.task_definition) and not (self.register_task_definition_per_task and self.image_template)
        prefix = "/".join(part for part in ((self.s3_prefix or "").strip("/"), _plain(trial_name)) if part)
        return config.EcsFargateConfig(
            region=self.region,
            cluster=self.cluster,
            task_definition=self.task_definition,
            container_name=self.container_name,
            subnets=self.subnets,
            security_groups=self.security_groups,
            assign_public_ip=self.assign_public_ip,
            image_template=None if as_it_is else self.image_template,
            cpu=self.cpu,
            memory=self.memory,
            execution_role_arn=self.execution_role_arn,
            task_role_arn=self.task_role_arn,
            extra_env={"TEST_DIR": _TEST_DIR},
            log_group=self.log_group,
            log_stream_prefix=self.log_stream_prefix,
            max_task_lifetime_sec=self.max_task_lifetime_sec,
            run_task_max_retries=self.run_task_max_retries,
            s3_bucket=self.s3_bucket,
            s3_prefix=prefix or None,
            ecs_exec=True,
            definition_as_is=as_it_is,
        )


@dataclass(frozen=True)
class ExecRun:
    """How a command ended, and all that it said, on both of its streams."""

    exit_code: int
    output: bytes


class Container:
    """The sandbox, as who knows docker's containers expects it."""

    def __init__(self, sandbox: EcsFargateSandbox) -> None:
        self._sandbox = sandbox

    @property
    def attrs(self) -> dict[str, Any]:
        sandbox = self._sandbox
        environment = [f"{name}={value}" for name, value in (sandbox.cfg.extra_env or {}).items()]
        return {
            "Id": sandbox.task_arn,
            "Name": sandbox.cfg.container_name,
            "Config": {"Image": sandbox.image, "Env": environment},
            "State": {"Running": sandbox.is_running, "Status": "running" if sandbox.is_running else "exited"},
        }

    def exec_run(self, cmd: str | Sequence[str], user: str = "") -> ExecRun:
        """Run it; ``EcsExecError`` where that could not be."""
        output: list[bytes] = []
        try:
            result = self._sandbox.exec(cmd, user=user or None, on_output=lambda chunk: output.append(bytes(chunk)))
        except SandboxError as error:
            raise EcsExecError(error.message) from error
        return ExecRun(result.return_code, b"".join(output))


class Session(TerminalSession):
    container: Container


class EcsFargateSandbox(ecs_fargate.EcsFargateSandbox):
    """``with EcsFargateSandbox.spin_up(cfg=…, task_id=…, trial_name=…, run_id=…) as sandbox``."""

    least_timeout_sec = 180.0

    @classmethod
    @contextmanager
    def spin_up(
        cls,
        *,
        cfg: EcsFargateConfig,
        task_id: str,
        trial_name: str,
        run_id: str,
        pre_upload_paths: Sequence[str | PathLike[str]] | None = None,
        upload_dest_dir: str | None = None,
    ) -> Iterator[EcsFargateSandbox]:
        """A sandbox that is ready, with these files in it; it ends with the block."""
        _check_credentials(cfg)
        sandbox = cls(
            cfg.of_this_library(trial_name),
            task_id=task_id,
            run_id=run_id,
            labels={TAG_TRIAL: trial_name},
            exec_timeout_sec=cfg.ecs_exec_timeout_sec,
        )
        sandbox.least_timeout_sec = cfg.ecs_exec_timeout_sec
        with sandbox:
            sandbox.start()
            if pre_upload_paths:
                sandbox.copy_to_sandbox(list(pre_upload_paths), upload_dest_dir or _TEST_DIR)
            yield sandbox

    @property
    def container(self) -> Container:
        return Container(self)

    def exec(self, command: str | Sequence[str], timeout_sec: float | None = None, **options: Any) -> ExecResult:
        least = self.least_timeout_sec
        return super().exec(command, least if timeout_sec is None else max(timeout_sec, least), **options)

    def create_session(
        self, session_name: str, is_active_stream: bool = False, as_configured_user: bool = True
    ) -> Session:
        terminal = self.open_terminal(session_name, user=None if as_configured_user else "root")
        session = Session(self, terminal, is_active_stream=is_active_stream)
        session.container = self.container
        return session

    def copy_to_sandbox(
        self,
        paths: str | PathLike[str] | Sequence[str | PathLike[str]],
        container_dir: str | None = None,
        container_filename: str | None = None,
    ) -> None:
        """As a session's."""
        copy_in(self, paths, container_dir, container_filename)


def _check_credentials(cfg: EcsFargateConfig) -> None:
    if cfg.cluster == LOCAL_CLUSTER:
        return
    try:
        connect(region=cfg.region).call("sts", "GetCallerIdentity")
    except AwsError as error:
        raise EcsExecError(error.message) from error


def _plain(name: str) -> str:
    return _ODD.sub("-", name).strip("-")

"""A local engine that serves: what it says of itself, whether it still does, and what a configuration becomes there."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import ConfigError, StartError
from pytest_fargate_sandbox.leaves.names import HOST_IMAGE
from pytest_fargate_sandbox.place.engine_process import ASLEEP_SEC, BUSY_SEC, EngineProcess, Pulse
from pytest_fargate_sandbox.place.engine_users import end_hung, is_used_here
from pytest_fargate_sandbox.providers.aws.aws import Aws, Credentials, connect
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig

_LOG_GROUP = "/fargate-sandbox"
_LONGEST_POLL_SEC = 0.3
"""Asking an engine costs no one anything, and its tasks start in no time."""


@dataclass(frozen=True)
class LocalEngine:
    """An engine that serves, as its ``engine.json`` describes it."""

    directory: Path
    endpoint_url: str
    process: EngineProcess
    region: str
    credentials: Credentials
    subnets: list[str]
    security_groups: list[str]
    execution_role_arn: str
    runner: str
    limited: bool = False
    """Whether it answers as an account with limits."""
    public_subnets: Sequence[str] = ()
    """From which tasks reach the internet."""
    no_way_out: str = ""
    """Why there are none."""

    @classmethod
    def read(cls, directory: Path) -> LocalEngine | None:
        """The engine that serves in that directory, if one does and lives."""
        process = EngineProcess.of(directory)
        try:
            facts: dict[str, Any] = json.loads((directory / "engine.json").read_text())
        except FileNotFoundError:
            return None
        if process is None or not process.facts.items() <= facts.items():
            return None  # it was killed, or the machine was
        credentials = Credentials(facts["access_key_id"], facts["secret_access_key"])
        told = {each.name: facts[each.name] for each in fields(cls) if each.name in facts}
        return cls(directory=directory, process=process, credentials=credentials, **told)

    @property
    def pid(self) -> int:
        return self.process.pid

    def connect(self) -> Aws:
        return connect(
            region=self.region,
            endpoint_url=self.endpoint_url,
            credentials=self.credentials,
            notes=self.directory / "notes",
            obituary=self.obituary,
            is_counted=self.limited,
        )

    def pulse(self, longest: float = BUSY_SEC) -> Pulse:
        """Ask it for nothing; one that hangs is ended, if this process is a user of it. Raises ``StartError``."""
        pulse = self.process.pulse(self.endpoint_url, longest)
        if pulse is Pulse.SILENT and is_used_here(self.directory):
            end_hung(self.process)
        return pulse

    def still_serves(self) -> bool:
        """Whether it does, which is to be asked where no answer came. Raises ``AwsError`` where one hangs for good."""
        try:
            pulse = self.pulse(ASLEEP_SEC)
        except StartError as error:
            raise AwsError(str(error), unreachable=True) from error
        if pulse is Pulse.REFUSES:  # it did serve: it is about to end, and its threads may take a moment
            self.process.await_end()
        serves = LocalEngine.read(self.directory) == self
        if serves and pulse is Pulse.SILENT:
            raise AwsError(
                f"{self.process.name} does not answer; the next run that uses it replaces it", unreachable=True
            )
        return serves

    def obituary(self) -> str:
        """Why nothing can be asked here any more; empty while something can."""
        return "" if self.still_serves() else f"{self.process.name} has ended, and its tasks with it"

    def localized(self, cfg: EcsFargateConfig) -> EcsFargateConfig:
        """``cfg`` with everything that only AWS needs filled in, or replaced by what is here.

        Raises ``ConfigError`` where it wants what is not to be had here.
        """
        if cfg.network == "public" and self.no_way_out:
            raise ConfigError(
                f"network='public' is not to be had here: {self.no_way_out}; without it tasks reach nothing outside",
                key="network",
                value=cfg.network,
            )
        through_sessions = cfg.ecs_exec or cfg.connect_via == "ssm"
        has_image = cfg.image_template or cfg.task_definition or cfg.environment_dir
        return replace(
            cfg,
            region=self.region,
            endpoint_url=self.endpoint_url,
            subnets=self.public_subnets if cfg.network == "public" else self.subnets,
            security_groups=self.security_groups,
            execution_role_arn=self.execution_role_arn,
            task_role_arn=self.execution_role_arn if through_sessions else None,
            assign_public_ip=False,
            connect_via="ssm" if cfg.connect_via == "ssm" else "private",
            image_template=cfg.image_template if has_image else HOST_IMAGE,
            log_group=cfg.log_group or _LOG_GROUP,
            poll_interval_sec=cfg.poll_interval_sec if self.limited else min(cfg.poll_interval_sec, _LONGEST_POLL_SEC),
        )

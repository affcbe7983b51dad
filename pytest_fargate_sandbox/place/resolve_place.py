"""Where a configuration leads: to AWS or to the local engine, and what it amounts to there."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig, SshSidecarConfig, replaced
from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER
from pytest_fargate_sandbox.place.local_cluster import local_engine
from pytest_fargate_sandbox.place.local_engine import LocalEngine
from pytest_fargate_sandbox.place.task_owner import owner_of
from pytest_fargate_sandbox.providers.aws.aws import connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.providers.aws.aws import Aws


@dataclass(frozen=True)
class FoundPlace:
    """``cfg`` has everything filled in that the place itself knows."""

    cfg: EcsFargateConfig
    aws: Aws
    owner: str
    engine_directory: Path | None = None

    @classmethod
    def again(cls, cfg: EcsFargateConfig, aws: Aws, facts: Mapping[str, Any]) -> FoundPlace:
        """As it was when ``facts`` were written down."""
        directory = facts.get("engine_directory")
        return cls(cfg, aws, str(facts.get("owner", "")), Path(directory) if directory else None)

    @property
    def facts(self) -> dict[str, Any]:
        """What a ledger has to hold so that somebody else finds the place again."""
        return {
            "cluster": self.cfg.cluster,
            "region": self.aws.region,
            "endpoint_url": self.aws.answers_at,
            "engine_directory": str(self.engine_directory) if self.engine_directory else None,
            "owner": self.owner,
        }


def resolve_place(cfg: EcsFargateConfig) -> FoundPlace:
    """Find the place; ``local`` is started if need be. Raises ``AwsError``, ``ConfigError`` or ``StartError``."""
    if cfg.cluster == LOCAL_CLUSTER:
        engine = local_engine()
        aws = engine.connect()
        return FoundPlace(engine.localized(cfg), aws, owner_of(cfg, aws), engine.directory)
    aws = connect(region=cfg.region, endpoint_url=cfg.endpoint_url)
    if cfg.ssm_config:
        cfg = _with_shared_values(cfg, aws)
        aws = connect(region=cfg.region, endpoint_url=cfg.endpoint_url)
    if not cfg.cluster:
        raise ConfigError(
            "`cluster` is empty: name an ECS cluster, or `local` for the embedded engine",
            key="cluster",
            allowed="a name",
        )
    return FoundPlace(_in_its_network(cfg), aws, owner_of(cfg, aws))


def _in_its_network(cfg: EcsFargateConfig) -> EcsFargateConfig:
    if cfg.network != "none":
        return cfg
    return replaced(
        cfg,
        subnets=cfg.no_network_subnets,
        security_groups=cfg.no_network_security_groups,
        assign_public_ip=False,
        connect_via="private",
    )


def find_again(facts: Mapping[str, Any]) -> Aws | None:
    """The place of a ledger's entry; None where it was an engine that is no more. Raises ``AwsError`` if one hangs."""
    if facts.get("engine_directory"):
        engine = LocalEngine.read(Path(facts["engine_directory"]))
        is_it = engine is not None and engine.endpoint_url == facts.get("endpoint_url") and engine.still_serves()
        return engine.connect() if engine and is_it else None
    return connect(region=facts.get("region"), endpoint_url=facts.get("endpoint_url"))


def _with_shared_values(cfg: EcsFargateConfig, aws: Aws) -> EcsFargateConfig:
    """Values from the SSM parameter for every field that was left at its default, those of a sidecar among them."""
    name = cfg.ssm_config or ""
    text = aws.call("ssm", "GetParameter", Name=name, WithDecryption=True)["Parameter"]["Value"]
    try:
        shared = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"ssm_config={name!r}: the parameter is not JSON: {error}", key="ssm_config", value=name
        ) from error
    if not isinstance(shared, dict):
        raise ConfigError(f"ssm_config={name!r}: the parameter is not a JSON object", key="ssm_config", value=name)
    explicit, sidecar = _said(cfg), shared.get("ssh_sidecar")
    if cfg.ssh_sidecar and isinstance(sidecar, dict):
        # Whether it has a port for the exec server is which mode was chosen.
        mode = {"exec_server_port": cfg.ssh_sidecar.exec_server_port}
        explicit["ssh_sidecar"] = {**sidecar, **_said(cfg.ssh_sidecar), **mode}
    try:
        return EcsFargateConfig.from_dict({**shared, **explicit})
    except ConfigError as error:
        raise ConfigError(f"ssm_config={name!r}: {error}", key="ssm_config", value=name) from error


def _said(config: EcsFargateConfig | SshSidecarConfig) -> dict[str, Any]:
    """What somebody has set; what was set to its default looks as if nobody had."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    defaults = type(config)()
    return {name: value for name, value in values.items() if value != getattr(defaults, name)}

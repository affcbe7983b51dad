"""From what an Inspect task says of its sandboxes to what is leased for a sample."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest
from inspect_ai.util import ComposeConfig, is_compose_yaml, is_dockerfile
from pydantic import ValidationError

from pytest_fargate_sandbox.adapters import inspect_compose
from pytest_fargate_sandbox.adapters.harness_settings import config_of, settings_of
from pytest_fargate_sandbox.adapters.inspect_config import FargateSandboxConfig, FargateSandboxWish, said_by
from pytest_fargate_sandbox.leaves.config import replaced
from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.plugin.settings.config_files import read_mapping
from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from pytest_fargate_sandbox.plugin.settings.run_settings import Settings

FILES: Final = ["fargate.yaml", "fargate.yml", "fargate.toml", "fargate.json"]
TAGS: Final = {"harness": "inspect"}
"""On every task of Inspect's, by which those that were kept are known."""

_ROOT = "0"


class SampleSandbox(NamedTuple):
    """One sandbox to lease, and who works where in it."""

    spec: SandboxSpec
    settings: Settings
    user: str | None
    working_dir: str | None


def sandboxes_of(config: BaseModel | str | None, variables: Mapping[str, str]) -> dict[str, SampleSandbox]:
    """By name, the default one first. ``variables`` are for a compose file. Raises ``ConfigError``."""
    here = Path(config).parent if isinstance(config, str) else Path.cwd()
    return {name: _resolved(wish, here) for name, wish in _wishes(config, variables).by_name.items()}


def variables_of(config: BaseModel | str | None, metadata: Mapping[str, Any]) -> dict[str, str]:
    """Those of a sample's that its compose file names."""
    if isinstance(config, str) and is_compose_yaml(config):
        return inspect_compose.variables_of(Path(config), metadata)
    return {}


def _wishes(config: BaseModel | str | None, variables: Mapping[str, str]) -> FargateSandboxConfig:
    if config is None:
        return FargateSandboxConfig()
    if isinstance(config, FargateSandboxConfig):
        return config
    if isinstance(config, ComposeConfig):
        return inspect_compose.translated(config, Path.cwd())
    if not isinstance(config, str):
        raise ConfigError(
            f"a {type(config).__name__} says nothing of a sandbox on Fargate: give a FargateSandboxConfig"
        )
    file = Path(config)
    if is_compose_yaml(config):
        return inspect_compose.translated(inspect_compose.read(file, variables), file.parent)
    if is_dockerfile(config):
        inspect_compose.check_dockerfile(config, file.name)
        return FargateSandboxConfig(environment=str(file.parent))
    return _read(file)


def _read(file: Path) -> FargateSandboxConfig:
    try:
        return FargateSandboxConfig(**_from(file.parent, read_mapping(file)))
    except pytest.UsageError as error:
        raise ConfigError(str(error)) from None
    except ValidationError as error:
        raise ConfigError(f"{file}: {said_by(error)}") from None


def _from(here: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    """Its directories, which are relative to the file."""
    found = dict(said)
    if isinstance(found.get("environment"), str):
        found["environment"] = str(here / found["environment"])
    if isinstance(found.get("sandboxes"), dict):
        found["sandboxes"] = {
            name: _from(here, each) if isinstance(each, dict) else each for name, each in found["sandboxes"].items()
        }
    return found


def _resolved(wish: FargateSandboxWish, here: Path) -> SampleSandbox:
    said = {"cpu": wish.cpu, "memory": wish.memory, "ttl": wish.ttl, "network": wish.network}
    settings = settings_of(said, source="the sandbox's", directory=here)
    config = config_of(settings)
    fields: dict[str, Any] = {"tags": {**(config.tags or {}), **TAGS}}
    if wish.image:
        fields.update(image_template=wish.image, environment_dir=None)
    if wish.environment:
        fields.update(image_template=None, environment_dir=wish.environment)
    if wish.env:
        fields["extra_env"] = {**(config.extra_env or {}), **wish.env}
    if wish.storage is not None:
        fields["ephemeral_storage_gib"] = wish.storage
    user = wish.user or config.user
    if user:
        fields["user"] = _ROOT
    spec = SandboxSpec(replaced(config, **fields), force_build=bool(settings.run["force_build"]))
    return SampleSandbox(spec, settings, user, wish.working_dir)

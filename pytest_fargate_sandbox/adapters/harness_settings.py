"""The options of the plugin as another harness has them: said by its own means, else ``FARGATE_*``, else files.

The files are that of the option ``config``, and the nearest pyproject.toml at or above the working directory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.plugin.settings import config_files, options, run_settings, vocabulary
from pytest_fargate_sandbox.sandbox.modes.mode_registry import recognised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.plugin.settings.option_table import Option


def settings_of(
    given: Mapping[str, Any], *, source: str, environ: Mapping[str, str] = os.environ, directory: Path | None = None
) -> run_settings.Settings:
    """``given``: options by name, as the harness has them from its user; those that are None nobody has said.

    ``source`` is what an error calls them. Raises ``ConfigError``.
    """
    here = directory or Path.cwd()

    def spoken(option: Option) -> Iterator[tuple[Any, str]]:
        for name in {option.name, option.sets, vocabulary.word_for(option.name)} & given.keys():
            if given[name] is not None:
                yield given[name], f"{source} {name}"
        yield from options.said_by(environ, option)

    def files(path: str | None) -> Iterator[config_files.Setting]:
        if path:
            yield from config_files.settings_in(here / path)
        project = next((each for each in (here, *here.parents) if (each / "pyproject.toml").is_file()), None)
        if project:
            yield from options.of_project(project)

    try:
        return options.settled(spoken, files, here)
    except pytest.UsageError as error:
        raise ConfigError(str(error)) from None


def config_of(settings: run_settings.Settings) -> EcsFargateConfig:
    """What a sandbox is made of that says nothing else. Raises ``ConfigError``."""
    try:
        config: EcsFargateConfig = run_settings.base_config(settings)
    except pytest.UsageError as error:
        raise ConfigError(str(error)) from None
    mode = recognised(config)
    if mode is not None and not mode.takes_commands:
        told = "in agent-server mode the image's own command runs, and a harness has commands of its own to run"
        raise ConfigError(f"{told}: sidecar_mode=exec, or ecs-exec", key="sidecar_mode")
    return config

"""What a run was told, once all of it is known, and what of that excludes each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from pytest_fargate_sandbox.plugin.settings import vocabulary
from pytest_fargate_sandbox.plugin.settings.option_table import OPTIONS, TABLE
from pytest_fargate_sandbox.sandbox.modes.mode_registry import mode_named


class Settings(NamedTuple):
    """What was asked for, and where. ``config`` is the mapping of ``EcsFargateConfig``; ``run`` the rest."""

    config: Mapping[str, Any]
    run: Mapping[str, Any]
    sources: Mapping[str, str]

    @property
    def configured(self) -> bool:
        return bool(self.sources)

    def describe(self) -> str:
        """``cluster=bench (--fargate-cluster), region=eu-west-1 (FARGATE_REGION)``."""
        values = {**self.config, **{f"run.{name}": value for name, value in self.run.items()}}
        shown = {"cluster": self.sources.get("cluster", "default")} if self.config["cluster"] else {}
        said = ", ".join(
            f"{vocabulary.word_for(key.removeprefix('run.'))}={_short(values[key])} ({source})"
            for key, source in {**shown, **self.sources}.items()
        )
        return f"{said}; {_READABLE_ROLE}" if self.by_sessions else said

    @property
    def by_sessions(self) -> bool:
        """Whether the Session Manager is the way in, for tests that don't say."""
        asked = self.config.get("ecs_exec") or self.config.get("connect_via") == "ssm"
        return bool(asked or self.run.get("sidecar_mode") == "ecs-exec")


_READABLE_ROLE = "through the Session Manager: code in the sandboxes can read the credentials of their task role"

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()


def refuse_contradictions(settings: Settings) -> None:
    """Options that exclude each other, and a mapping that ``EcsFargateConfig`` refuses, before the first test."""
    sources = settings.sources
    if cluster := settings.config["cluster"]:
        elsewhere, what = sources.get("cluster", ""), repr(cluster)
    elif "ssm_config" in sources:
        elsewhere, what = f"ssm_config ({sources['ssm_config']})", "what that parameter says"
    else:
        raise pytest.UsageError(
            f"cluster ({sources['cluster']}) is empty: name an ECS cluster, or leave it out for `local`"
        )
    for option in ("run.runner", "run.engine"):
        if option in sources and cluster != "local":
            raise pytest.UsageError(
                f"{sources[option]} and {elsewhere} exclude each other: it is about the embedded engine "
                f"(cluster `local`), and the cluster is {what}"
            )
    if "run.runner" in sources and "run.engine" in sources:
        raise pytest.UsageError(
            f"{sources['run.runner']} and {sources['run.engine']} exclude each other: an engine that runs has its "
            "runner already"
        )
    if settings.config.get("image_template") and settings.config.get("environment_dir"):
        raise pytest.UsageError(
            f"image ({sources['image_template']}) and environment ({sources['environment_dir']}) exclude each other: "
            "name an image, or a directory to build one from"
        )
    _refuse_half_said(settings)
    if settings.run["reuse"] is not None:
        _refuse_bad_name(settings)
    if any(not key.startswith("run.") for key in sources):
        base_config(settings)


def _refuse_half_said(settings: Settings) -> None:
    """What says nothing without another option."""
    for option in TABLE:
        source = settings.sources.get(option.key)
        missing = next((name for name in option.takes if source and not settings.run[name]), None)
        if source is None or missing is None:
            continue
        if missing != "tasks" or source.startswith("--"):  # an ini may say it for the runs that have tasks
            raise pytest.UsageError(f"{source} takes {OPTIONS[missing].flag}: {option.takes[missing]}")


def _refuse_bad_name(settings: Settings) -> None:
    from pytest_fargate_sandbox.leaves.errors import ConfigError
    from pytest_fargate_sandbox.records.reuse_book import refuse_bad_name

    try:
        refuse_bad_name(settings.run["reuse"])
    except ConfigError as error:
        raise pytest.UsageError(f"{settings.sources['run.reuse']}: {error}") from None


def base_config(settings: Settings) -> Any:
    """The ``EcsFargateConfig`` that the options ask for."""
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    mapping = dict(settings.config)
    mode_named(settings.run["sidecar_mode"]).ask_for(mapping, as_default=True)
    try:
        return EcsFargateConfig.from_dict(mapping)
    except ConfigError as error:
        key = str(error.context.get("key", "")).partition(".")[0]
        said = settings.sources.get(key)
        raise pytest.UsageError(f"{vocabulary.by_word(str(error))}{f' ({said})' if said else ''}") from None


def _short(value: Any) -> str:
    """Of a mapping the names only: an environment may hold secrets."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple, Mapping)) else str(value)

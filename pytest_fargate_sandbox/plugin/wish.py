"""From a test's marks, hooks and options to what its sandbox is made of."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.fargate_rules import size_with
from pytest_fargate_sandbox.plugin import lifetimes
from pytest_fargate_sandbox.plugin.hook_calls import as_hooks_have_it
from pytest_fargate_sandbox.plugin.settings import marker
from pytest_fargate_sandbox.sandbox.modes.mode_registry import mode_named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
    from pytest_fargate_sandbox.plugin.settings.run_settings import Settings
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec

_FIELDS = {
    "cpu": "cpu",
    "memory": "memory",
    "storage": "ephemeral_storage_gib",
    "ttl": "max_task_lifetime_sec",
    "container_port": "container_port",
    "network": "network",
    "user": "user",
}
"""Keys of the marker that are a field of the config by another name, or by the same."""


@dataclass(frozen=True)
class Wish:
    """A spec, and whether its task may outlive the test."""

    spec: SandboxSpec
    keep: str


def resolve(config: EcsFargateConfig, keys: Mapping[str, Any], settings: Settings, item: pytest.Item | None) -> Wish:
    """``keys`` over ``config``; ``item`` gives the hooks, and the directory that relative paths start from.

    Raises ``ConfigError``.
    """
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec

    _refuse_what_is_none(config)
    here = item.path.parent if item is not None else Path.cwd()
    task = _task(config, _with_size(keys, settings), here)
    if item is not None and "ttl" not in keys:
        task["max_task_lifetime_sec"] = lifetimes.default_for(item, config, keys)
    outside = keys.get("outside", ())
    spec = SandboxSpec(
        config=as_hooks_have_it(item, task) if item is not None else EcsFargateConfig.from_dict(task),
        outside=tuple(OutsideEndpoint(*each) if isinstance(each, (list, tuple)) else each for each in outside),
        files={remote: here / local for remote, local in keys.get("files", {}).items()},
        snapshots={directory: here / local for directory, local in _snapshots(keys).items()},
        exec_timeout=keys.get("exec_timeout"),
        force_build=bool(settings.run["force_build"]),
    )
    _check_outside(spec.outside)
    _check_files(spec.files)
    _check_snapshots(spec.snapshots, keys)
    if keys.get("slot"):
        from pytest_fargate_sandbox.plugin.settings.slot_wish import in_a_slot

        tenants = keys["slot"] if keys["slot"] in marker.TENANTS else ""
        spec = in_a_slot(spec, settings.run["slots"], tenants)
    return Wish(spec, keys.get("keep", settings.run["keep"]))


def _refuse_what_is_none(config: Any) -> None:
    """The fixture is for users to override."""
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    if not isinstance(config, EcsFargateConfig):
        told = f"`fargate_config` gives a {type(config).__name__}: expected an EcsFargateConfig"
        raise ConfigError(f"{told}, such as EcsFargateConfig.from_dict makes of a mapping", key="fargate_config")


def _with_size(keys: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    """``keys`` that say CPU or memory only get what fits it, unless somebody has said the other elsewhere."""
    said = {key for key in ("cpu", "memory") if key in keys}
    if len(said) != 1 or not settings.sources.keys().isdisjoint({"cpu", "memory"} - said):
        return keys
    cpu, memory = settings.config.get("cpu"), settings.config.get("memory")
    if cpu is None or memory is None:  # what all share in an SSM parameter says it
        return keys
    cpu, memory = size_with(keys.get("cpu"), keys.get("memory"), (cpu, memory))
    return {**keys, "cpu": cpu, "memory": memory}


def _task(config: EcsFargateConfig, keys: Mapping[str, Any], here: Path) -> dict[str, Any]:
    task = {each.name: getattr(config, each.name) for each in dataclasses.fields(config)}
    for key, name in _FIELDS.items():
        if key in keys:
            task[name] = keys[key]
    if "image" in keys:
        task.update(image_template=keys["image"], environment_dir=None)
    if "environment" in keys:
        task.update(image_template=None, environment_dir=str(_directory(here / keys["environment"], keys)))
    if "env" in keys:
        task["extra_env"] = {**(config.extra_env or {}), **keys["env"]}
    if "mode" in keys:
        mode_named(keys["mode"]).ask_for(task)
    return task


def _directory(path: Path, keys: Mapping[str, Any]) -> Path:
    if not path.is_dir():
        raise marker.wrong("environment", keys["environment"], f"a directory; there is none at {path}")
    return path.resolve()


def _check_outside(endpoints: Sequence[OutsideEndpoint]) -> None:
    """What a start would look at as well, and could not tell by the marker's word."""
    from pytest_fargate_sandbox.leaves.errors import ConfigError
    from pytest_fargate_sandbox.sandbox.endpoints import Routes

    try:
        Routes(endpoints)
    except ConfigError as error:
        said = str(error).removeprefix("outside_endpoints: ")
        raise ConfigError(f"fargate(outside=…): {said}", key="outside", value=error.value) from None


def _check_files(files: Mapping[str, Path]) -> None:
    for remote, local in files.items():
        if not local.exists():
            raise marker.wrong("files", {remote: str(local)}, f"a file or directory; there is none at {local}")


def _snapshots(keys: Mapping[str, Any]) -> Mapping[str, str | Path]:
    """A lone one is the workspace's own: a slot's home, or where commands run."""
    said = keys.get("snapshot", {})
    return {".": said} if isinstance(said, (str, Path)) else said


def _check_snapshots(snapshots: Mapping[str, Path], keys: Mapping[str, Any]) -> None:
    from pytest_fargate_sandbox.leaves.errors import UnsafeArchiveError
    from pytest_fargate_sandbox.sandbox.snapshot import Snapshot

    for local in snapshots.values():
        try:
            Snapshot.open(local)
        except (OSError, UnsafeArchiveError) as error:  # noqa: PERF203
            what = str(error) if isinstance(error, UnsafeArchiveError) else f"there is none at {local}"
            raise marker.wrong("snapshot", str(local), f"a file that `save` wrote; {what}") from None
    if "allowed_changes" in keys and not snapshots:
        raise marker.wrong(
            "allowed_changes",
            keys["allowed_changes"],
            "a snapshot to compare with: name one by snapshot=, or take the sandbox of fargate_prepared",
        )

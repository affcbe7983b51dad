"""The modes there are, and the one point where one is chosen.

A row is enough to name a mode in an option or a marker; its module is imported when a sandbox is made. The plugin
imports this, so nothing of ours is imported here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.sandbox.modes.mode import Mode


class Row(NamedTuple):
    """``title`` is what prose calls the mode, before the word "mode"."""

    title: str
    make: Callable[[], Mode]


def _when_needed(module: str, kind: str) -> Callable[[], Any]:
    return lambda: getattr(import_module(f"pytest_fargate_sandbox.sandbox.modes.{module}"), kind)()


MODES = {
    "exec": Row("exec-server", _when_needed("exec_mode", "ExecMode")),
    "agent": Row("agent-server", _when_needed("agent_mode", "AgentMode")),
    "ecs-exec": Row("ECS Exec", _when_needed("ecs_exec_mode", "EcsExecMode")),
}
"""By the name that options and the marker have for them. A row may be added: the last one is asked first."""


def mode_named(name: str) -> Mode:
    return MODES[name].make()


def recognised(cfg: EcsFargateConfig) -> Mode | None:
    """The mode that ``cfg`` means, if it means any."""
    return next((mode for mode in map(mode_named, reversed(MODES)) if mode.is_meant(cfg)), None)


def mode_of(cfg: EcsFargateConfig) -> Mode:
    """The mode that ``cfg`` means, with all it needs. Raises ``ConfigError``."""
    mode = recognised(cfg)
    if mode is None:
        from pytest_fargate_sandbox.leaves.errors import ConfigError

        ways = ", ".join(f"{mode_named(name).how} for {row.title} mode" for name, row in MODES.items())
        raise ConfigError(
            f"ssh_sidecar is not configured, and it is the way into the task: {ways}", key="ssh_sidecar", allowed=ways
        )
    mode.check(cfg)
    return mode

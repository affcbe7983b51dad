"""The modes there are, and the one point where one is chosen.

A row is enough to name a mode in an option or a marker; its module is imported when a sandbox is made. The plugin
imports this, so nothing of ours is imported here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.sandbox.modes.mode import Mode


class _Row(NamedTuple):
    title: str
    module: str
    made_by: str


class Modes(Mapping[str, "Mode"]):
    """Modes by the name that options and the marker have for them."""

    def __init__(self, rows: Mapping[str, _Row]) -> None:
        self._rows = rows
        self._titles = {name: row.title for name, row in rows.items()}
        self._made: dict[str, Mode] = {}

    def __getitem__(self, name: str) -> Mode:
        if name not in self._made:
            row = self._rows[name]
            module = import_module(f"pytest_fargate_sandbox.sandbox.modes.{row.module}")
            self._made[name] = getattr(module, row.made_by)()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._titles)

    def __len__(self) -> int:
        return len(self._titles)

    def __contains__(self, name: object) -> bool:
        return name in self._titles  # Mapping's own would make it

    @property
    def titles(self) -> list[str]:
        return list(self._titles.values())

    def register(self, mode: Mode) -> None:
        """Add somebody's own mode, which is asked before those that were there."""
        self._made[mode.name], self._titles[mode.name] = mode, mode.title

    def unregister(self, name: str) -> None:
        """Forget a mode that was added."""
        del self._made[name], self._titles[name]


MODES = Modes(
    {
        "exec": _Row("exec-server", "exec_mode", "ExecMode"),
        "agent": _Row("agent-server", "agent_mode", "AgentMode"),
    }
)


def recognised(cfg: EcsFargateConfig) -> Mode | None:
    """The mode that ``cfg`` means, if it means any; the latest in the registry is asked first."""
    return next((mode for mode in reversed(list(MODES.values())) if mode.is_meant(cfg)), None)


def mode_of(cfg: EcsFargateConfig) -> Mode:
    """The mode that ``cfg`` means, with all it needs. Raises ``ConfigError``."""
    mode = recognised(cfg)
    if mode is None:
        from pytest_fargate_sandbox.leaves.errors import ConfigError

        ways = ", ".join(f"{each.how} for {each.title} mode" for each in MODES.values())
        raise ConfigError(
            f"ssh_sidecar is not configured, and it is the way into the task: {ways}", key="ssh_sidecar", allowed=ways
        )
    mode.check(cfg)
    return mode

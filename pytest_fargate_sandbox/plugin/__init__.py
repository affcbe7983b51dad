"""The pytest face: options, the marker, fixtures, outcomes, and what many processes share.

Loading this costs a project that does not use us next to nothing, so whatever is heavy is imported where it is used.
Each subject is a plugin object of its own, registered once the options are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.plugin import face, hookspecs, marker, options, owner, rerun, signals, summary
from pytest_fargate_sandbox.plugin.fixtures import (
    fargate_agent,
    fargate_config,
    fargate_images,
    fargate_sandbox,
    fargate_sandbox_factory,
    fargate_session_factory,
    fargate_session_sandbox,
)
from pytest_fargate_sandbox.plugin.run import Run

if TYPE_CHECKING:
    import pytest

__all__ = [
    "fargate_agent",
    "fargate_config",
    "fargate_images",
    "fargate_sandbox",
    "fargate_sandbox_factory",
    "fargate_session_factory",
    "fargate_session_sandbox",
]


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.declare(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", marker.LINE)
    settings = options.resolve(config)
    run = Run(config, settings)
    ours = face.Face(config, settings, run)
    config.stash[face.FACE] = ours
    plugins: dict[str, object] = {"face": ours, "reruns": rerun.Reruns(ours), "signals": signals.Signals()}
    if run.is_owner:
        plugins["owner"] = owns = owner.Owner(config, settings, run)
        plugins["interrupts"] = owner.Interrupts(run)
        plugins["summary"] = summary.Summary(settings, run, owns)
    for name, plugin in plugins.items():
        config.pluginmanager.register(plugin, f"fargate_sandbox_{name}")

"""Which of our plugin objects a process needs, and how they hang together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.plugin.controller import Interrupts, Owner
from pytest_fargate_sandbox.plugin.leases import FACE, Face
from pytest_fargate_sandbox.plugin.options import SETTINGS
from pytest_fargate_sandbox.plugin.progress import Progress
from pytest_fargate_sandbox.plugin.pytest_run import RUN, Run
from pytest_fargate_sandbox.plugin.rerun import Reruns
from pytest_fargate_sandbox.plugin.runner_option import EngineChoice
from pytest_fargate_sandbox.plugin.sigterm import Signals
from pytest_fargate_sandbox.plugin.summary import Summary

if TYPE_CHECKING:
    import pytest


def wire(config: pytest.Config) -> Face:
    """Everything for a process that runs tests which use sandboxes. Doing it twice is doing it once."""
    if FACE not in config.stash:
        run = wire_owner(config) if not hasattr(config, "workerinput") else _run_of(config)
        face = Face(config, config.stash[SETTINGS], run)
        config.stash[FACE] = face
        _register(config, face=face, reruns=Reruns(face))
    return config.stash[FACE]


def wire_owner(config: pytest.Config) -> Run:
    """What the process needs that outlives all others of the run."""
    first = RUN not in config.stash
    run = _run_of(config)
    if first:
        settings = config.stash[SETTINGS]
        owner = Owner(config, settings, run)
        _register(
            config,
            owner=owner,
            interrupts=Interrupts(run),
            summary=Summary(settings, run, owner),
            progress=Progress(config, run),
        )
    return run


def _run_of(config: pytest.Config) -> Run:
    if RUN not in config.stash:
        settings = config.stash[SETTINGS]
        config.stash[RUN] = Run(config, settings)
        _register(config, signals=Signals(config.stash[RUN]), engine_choice=EngineChoice(settings.run["runner"]))
    return config.stash[RUN]


def _register(config: pytest.Config, **plugins: object) -> None:
    for name, plugin in plugins.items():
        config.pluginmanager.register(plugin, f"fargate_sandbox_{name}")

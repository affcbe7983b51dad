"""``--fargate-runner`` and ``--fargate-engine``: how an engine is started that serves the run, or which one is there.

Both reach the library the way any choice of an engine does, by the environment, and so the workers too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.names import ENV_ENGINE_DIRECTORY, ENV_ENGINE_OPTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox.plugin.settings.run_settings import Settings


class EngineChoice:
    """Holds from its making to the end of the session, for this process and the workers that it starts."""

    def __init__(self, settings: Settings) -> None:
        self._before = {name: os.environ.get(name) for name in (ENV_ENGINE_OPTIONS, ENV_ENGINE_DIRECTORY)}
        said, option = os.environ.get(ENV_ENGINE_OPTIONS, ""), f"--runner {settings.run['runner']}"
        if settings.run["runner"] != "auto" and option not in said:  # a worker has it from its controller
            os.environ[ENV_ENGINE_OPTIONS] = f"{said} {option}".strip()
        if settings.run["engine"] is not None:
            os.environ[ENV_ENGINE_DIRECTORY] = settings.run["engine"]

    def pytest_unconfigure(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def running_engine(directory: Path) -> str:
    """``directory`` in full, if an engine serves there."""
    from pytest_fargate_sandbox.place.local_engine import LocalEngine

    try:
        engine = LocalEngine.read(directory)
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"--fargate-engine: what serves in {directory} cannot be read: {error}") from None
    if engine is None:
        raise pytest.UsageError(
            f"no engine serves in {directory}: start one with `fargate-sandbox engine --state {directory}`"
        )
    return str(directory.resolve())

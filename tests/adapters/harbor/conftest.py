"""The real Harbor, run in this process as its command line runs it, and environments as its trials make them."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or Harbor's imports would ask the internet
os.environ["HARBOR_TELEMETRY"] = "off"

from harbor.cli.main import app
from harbor.models.task.config import EnvironmentConfig
from harbor.models.trial.paths import TrialPaths

from pytest_fargate_sandbox.adapters.harbor import FargateEnvironment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.engine_of_tests import EngineOfTests

_OF_HARBORS_OWN = ("Task.checksum will be deprecated",)

NAME = "pytest_fargate_sandbox.adapters.harbor:FargateEnvironment"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            for message in _OF_HARBORS_OWN:
                item.add_marker(pytest.mark.filterwarnings(f"ignore:{message}:DeprecationWarning"))


class Job:
    """What a run of Harbor's left."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        results = [json.loads(path.read_text()) for path in directory.glob("*/result.json")]
        self.trials = {each["trial_name"].partition("__")[0]: each for each in results}

    @property
    def rewards(self) -> dict[str, Any]:
        """By task: the reward, or which error there was instead."""
        return {name: self.reward(name) for name in sorted(self.trials)}

    def reward(self, name: str) -> Any:
        trial = self.trials[name]
        if trial["exception_info"]:
            return trial["exception_info"]["exception_type"]
        return trial["verifier_result"]["rewards"]["reward"]

    def trial_of(self, name: str) -> Path:
        [found] = self.directory.glob(f"{name}__*")
        return found


@pytest.fixture
def nothing_left(engine: EngineOfTests) -> Iterator[None]:
    """Every task that the test has launched ends with it."""
    before = set(engine.alive())
    yield
    engine.wait_until_gone(*set(engine.alive()) - before)


@pytest.fixture
def harbor(nothing_left: None, tmp_path: Path) -> Callable[..., Job]:  # noqa: ARG001  it looks when all is over
    """``harbor(folder, agent, *options)`` runs the task there, or all of them."""

    def run(folder: Path, agent: str, *options: str) -> Job:
        given = ["run", "-y", "-q", "-e", NAME, "-p", str(folder), "-a", agent, "-o", str(tmp_path / "jobs")]
        number = len(list((tmp_path / "jobs").glob("*")))
        app([*given, "--job-name", f"job{number}", "--ek", "network=none", *options], standalone_mode=False)
        return Job(tmp_path / "jobs" / f"job{number}")

    return run


@pytest.fixture
def environment(nothing_left: None, tmp_path: Path) -> Callable[..., FargateEnvironment]:  # noqa: ARG001
    """As a trial makes it: ``says`` is what the task's ``[environment]`` says; others are Harbor's own words."""
    made = 0

    def make(files: dict[str, str] | None = None, options: dict[str, Any] | None = None, /, **says: Any) -> Any:
        nonlocal made
        made += 1
        trial = TrialPaths(trial_dir=tmp_path / f"trial{made}")
        trial.mkdir()
        directory = tmp_path / f"task{made}" / "environment"
        directory.mkdir(parents=True)
        for name, text in (files or {}).items():
            (directory / name).write_text(text)
        given = {"network": "none", **(options or {})}
        others = {name: given.pop(name) for name in list(given) if name in _HARBORS}
        config = EnvironmentConfig(**({} if files and "Dockerfile" in files else {"docker_image": "host"}) | says)
        return FargateEnvironment(
            environment_dir=directory,
            environment_name=f"task{made}",
            session_id=f"trial{made}__env",
            trial_paths=trial,
            task_env_config=config,
            **others,
            **given,
        )

    return make


_HARBORS = {"persistent_env", "mounts", "auto_mounts", "network_policy", "phase_network_policies", "override_cpus"}


@pytest.fixture
def started(environment: Callable[..., FargateEnvironment]) -> Callable[..., None]:
    """``started(act, …)``: ``act`` is awaited with an environment that runs, and stopped behind it."""

    def run(act: Callable[[FargateEnvironment], Awaitable[None]], *parts: Any, **says: Any) -> None:
        async def whole() -> None:
            there = environment(*parts, **says)
            try:
                await there.start(force_build=False)
                await act(there)
            finally:
                await there.stop(delete=True)

        asyncio.run(whole())

    return run

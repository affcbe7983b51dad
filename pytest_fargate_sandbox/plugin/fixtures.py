"""The fixtures. Each says what it yields; what it yields knows nothing of pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.plugin.leases import Leases
    from pytest_fargate_sandbox.plugin.prepared import Prepared
    from pytest_fargate_sandbox.sandbox.sandbox_protocol import Sandbox
    from pytest_fargate_sandbox.tasks.reward import Reward
    from pytest_fargate_sandbox.tasks.task_in_hand import TaskInHand


@pytest.fixture(scope="session")
def fargate_config(request: pytest.FixtureRequest) -> EcsFargateConfig:
    """The resolved EcsFargateConfig; override it in a conftest to decide otherwise."""
    return _leases_of(request).base_config


@pytest.fixture
def fargate_sandbox(request: pytest.FixtureRequest, fargate_config: EcsFargateConfig) -> Sandbox:
    """A started sandbox of the test's own."""
    return _factory(request, fargate_config, _keys(request))()


@pytest.fixture
def fargate_slot(request: pytest.FixtureRequest, fargate_config: EcsFargateConfig) -> Sandbox:
    """A clean slot: a workspace of the test's own, on a machine that many tests share."""
    return _factory(request, fargate_config, _keys(request))()


@pytest.fixture
def fargate_sandbox_factory(request: pytest.FixtureRequest, fargate_config: EcsFargateConfig) -> Callable[..., Sandbox]:
    """make(**keys of the marker) -> started sandbox: several in one test."""
    return _factory(request, fargate_config, _keys(request))


@pytest.fixture
def fargate_prepared(request: pytest.FixtureRequest, fargate_config: EcsFargateConfig) -> Prepared:
    """make(name, prepare, **keys of the marker) -> started sandbox that begins with what prepare(sandbox) once left."""
    from pytest_fargate_sandbox.plugin.prepared import Prepared

    return Prepared(_leases_of(request), request, _item(request), fargate_config, _keys(request))


@pytest.fixture(scope="session")
def fargate_session_sandbox(fargate_session_factory: Callable[..., Sandbox]) -> Sandbox:
    """One started sandbox for all tests of a worker, made from the options alone."""
    return fargate_session_factory()


@pytest.fixture(scope="session")
def fargate_session_factory(request: pytest.FixtureRequest, fargate_config: EcsFargateConfig) -> Callable[..., Sandbox]:
    """make(**keys of the marker) -> started sandbox that ends with the fixture of yours that made it."""
    return _factory(request, fargate_config, {})


@pytest.fixture
def fargate_agent(request: pytest.FixtureRequest, fargate_config: EcsFargateConfig) -> Sandbox:
    """A started sandbox in agent-server mode: the image's own command runs, and local_port leads to it."""
    return _factory(request, fargate_config, _keys(request))()


@pytest.fixture(scope="session")
def fargate_images(request: pytest.FixtureRequest, fargate_config: EcsFargateConfig) -> Callable[[str | Path], str]:
    """ensure(directory) -> image url: built once for all workers."""
    leases = _leases_of(request)
    force = bool(leases.settings.run["force_build"])
    return lambda directory: leases.pool.image_of(fargate_config, directory, force_build=force)


@pytest.fixture
def fargate_task(request: pytest.FixtureRequest, fargate_sandbox_factory: Callable[..., Sandbox]) -> TaskInHand:
    """A task folder for an agent that the test drives: its sandbox, instruction and time_left.

    Which one: the marker's task, or a parameter of the fixture (indirect), relative to the test's file.
    """
    from pytest_fargate_sandbox.plugin.tasks_as_tests import task_fixtures

    return task_fixtures.begin(request, fargate_sandbox_factory)


@pytest.fixture
def fargate_verifier(request: pytest.FixtureRequest, fargate_task: TaskInHand) -> Callable[[], Reward]:
    """grade() -> reward: what the agent did in fargate_task is worth, by the task's verifier."""
    from pytest_fargate_sandbox.plugin.tasks_as_tests import task_fixtures

    return task_fixtures.grader(request, fargate_task)


def _leases_of(request: pytest.FixtureRequest) -> Leases:
    from pytest_fargate_sandbox.plugin import wiring

    return wiring.wire(request.config, request)


def _factory(request: pytest.FixtureRequest, config: EcsFargateConfig, keys: dict[str, Any]) -> Callable[..., Sandbox]:
    from pytest_fargate_sandbox.plugin.ahead import AHEAD

    leases, item = _leases_of(request), _item(request)
    request.config.stash[AHEAD].learn(item, config)
    return leases.factory(request, config, keys)


def _keys(request: pytest.FixtureRequest) -> dict[str, Any]:
    from pytest_fargate_sandbox.plugin.fixture_keys import keys_for

    return keys_for(_item(request), str(request.fixturename))


def _item(request: pytest.FixtureRequest) -> pytest.Item:
    """The test for whose sake a fixture is set up, whatever the fixture's scope."""
    return cast("pytest.Item", cast(Any, request)._pyfuncitem)

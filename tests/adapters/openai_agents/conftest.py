"""Sessions of the real OpenAI Agents SDK, in sandboxes of the embedded engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from agents.sandbox import Manifest

from pytest_fargate_sandbox.adapters.harness_run import harness_run
from pytest_fargate_sandbox.adapters.openai_agents import FargateSandboxClient, FargateSandboxClientOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from tests.engine_of_tests import EngineOfTests

T = TypeVar("T")


@pytest.fixture(scope="session")
def run() -> Iterator[Callable[[Coroutine[Any, Any, T]], T]]:
    """One loop for all tests, since sessions are shared by some."""
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete
    loop.close()


@pytest.fixture(scope="session")
def client(_engine_of_tests: EngineOfTests) -> Iterator[FargateSandboxClient]:
    yield FargateSandboxClient({"cpu": 256, "memory": 512})
    harness_run().end()


@pytest.fixture(scope="module")
def session(client: FargateSandboxClient, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> Iterator[Any]:
    """A session that the tests of a module share, each with files of names of its own."""
    options = FargateSandboxClientOptions(ports=(8080,), env_vars={"FIRST": "option", "SECOND": "option"})
    manifest = Manifest(environment={"value": {"SECOND": "manifest"}})
    made = run(client.create(options=options, manifest=manifest))
    run(made.start())
    yield made
    run(made.aclose())


@pytest.fixture
def alive(engine: EngineOfTests) -> Iterator[Callable[[], set[str]]]:
    """The tasks that this test has launched and nobody has asked to stop; none may be left."""
    before = set(engine.alive())
    yield lambda: set(engine.alive()) - before
    assert set(engine.alive()) <= before

"""Sandboxes as Inspect has them, on the engine of tests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

import pytest
from anyio.from_thread import start_blocking_portal

from pytest_fargate_sandbox.adapters.inspect import FargateSandboxConfig, FargateSandboxEnvironment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from anyio.from_thread import BlockingPortal

    from tests.engine_of_tests import EngineOfTests

Sandboxes = dict[str, FargateSandboxEnvironment]


@asynccontextmanager
async def sample(config: Any = None, **said: Any) -> AsyncIterator[Sandboxes]:
    """The sandboxes of a sample, by the calls that Inspect makes."""
    wanted = config or FargateSandboxConfig(**{"cpu": 256, "memory": 512, **said})
    made: Any = await FargateSandboxEnvironment.sample_init("task", wanted, {"__sample_id__": "sample"})
    try:
        yield made
    finally:
        await FargateSandboxEnvironment.sample_cleanup("task", wanted, made, interrupted=False)


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """Where tests that are coroutines run, and what they share was made."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    portal: BlockingPortal = pyfuncitem._request.getfixturevalue("portal")
    portal.call(partial(pyfuncitem.obj, **arguments))
    return True


@pytest.fixture
def sandboxes(engine: EngineOfTests, portal: BlockingPortal) -> Iterator[Callable[..., Sandboxes]]:
    """``sandboxes(**said)`` gives those of a sample; in the end they are gone from the engine's list."""
    before = set(engine.alive())
    samples = []

    def make(**said: Any) -> Sandboxes:
        samples.append(portal.wrap_async_context_manager(sample(**said)))
        return samples[-1].__enter__()

    yield make
    for each in samples:
        each.__exit__(None, None, None)
    engine.wait_until_gone(*set(engine.alive()) - before)


@pytest.fixture(scope="module")
def sandbox(_engine_of_tests: EngineOfTests, portal: BlockingPortal) -> Iterator[FargateSandboxEnvironment]:
    """Root's, for whoever leaves no trace in it that others mind."""
    with portal.wrap_async_context_manager(sample(working_dir="/srv")) as sandboxes:
        yield sandboxes["default"]

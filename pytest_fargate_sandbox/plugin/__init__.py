"""What pytest sees: options, the marker, fixtures, outcomes, and what many processes share.

A project that does not use us pays for this module, ``options`` and a look at its tests' fixtures. Everything else is
wired up when a test, or a worker, needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.plugin import hookspecs, option_table, options
from pytest_fargate_sandbox.plugin.fixtures import (
    fargate_agent,
    fargate_config,
    fargate_images,
    fargate_prepared,
    fargate_sandbox,
    fargate_sandbox_factory,
    fargate_session_factory,
    fargate_session_sandbox,
    fargate_slot,
    fargate_task,
    fargate_verifier,
)
from pytest_fargate_sandbox.sandbox.modes.mode_registry import MODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "fargate_agent",
    "fargate_config",
    "fargate_images",
    "fargate_prepared",
    "fargate_sandbox",
    "fargate_sandbox_factory",
    "fargate_session_factory",
    "fargate_session_sandbox",
    "fargate_slot",
    "fargate_task",
    "fargate_verifier",
]

_MARKER = (
    "fargate(image=, environment=, task=, cpu=, memory=, storage=, ttl=, mode=, container_port=, keep=, env=, files=, "
    "outside=, exec_timeout=, artifacts=, artifacts_when=, snapshot=, allowed_changes=, slot=, network=, retries=): "
    "what the test's sandbox is made of, and what becomes of it. image: a reference or template; environment: a "
    "directory with a Dockerfile, relative to the test's file; task: a task folder, for fargate_task; cpu: CPU units; "
    "memory: MiB; storage: GiB; ttl: seconds; mode: {modes}; container_port: where an agent listens; "
    "keep: {keep}; env: a mapping; files: a mapping of remote to local paths; outside: a list of OutsideEndpoint or "
    "(url, env_var); exec_timeout: seconds; artifacts: a list of globs of files that --fargate-artifacts saves after "
    "the test; artifacts_when: {when}; snapshot: the path of a saved snapshot that the sandbox begins "
    "with, or a mapping of directories there to such paths; allowed_changes: a list of globs, relative to the "
    "snapshot's directory: a test that changes its sandbox elsewhere there fails; slot: True for a clean slot of "
    "a machine that tests share, instead of a "
    "machine of its own; network: {networks}, what it reaches; retries: how often to run again after "
    "an infrastructure error."
)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.declare(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    from pytest_fargate_sandbox.plugin import task_collection

    task_collection.keep_out_of_tasks(early_config)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _marker())
    config.stash[options.SETTINGS] = settings = options.resolve(config)
    if settings.run["tasks"]:
        from pytest_fargate_sandbox.plugin import wiring

        wiring.wire_tasks(config)
    if hasattr(config, "workerinput"):
        from pytest_fargate_sandbox.plugin import mfa_code

        mfa_code.leave_it_to_the_controller()
    if any(settings.run[name] for name in ("report_json", "html", "compare")) and not hasattr(config, "workerinput"):
        from pytest_fargate_sandbox.plugin import wiring

        wiring.wire_controller(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    settings = config.stash[options.SETTINGS]
    return f"fargate: {settings.describe()}" if settings.configured else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    from pytest_fargate_sandbox.plugin import mfa_code, wiring
    from pytest_fargate_sandbox.plugin.traces import TRACES

    run = wiring.wire_controller(node.config)
    run.take_name()
    mfa_code.ask_before_workers(run.settings)
    node.workerinput["fargate_sandbox"] = run.for_worker()
    node.config.stash[TRACES].tell(node.workerinput)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if any(_concern_us(items)):
        from pytest_fargate_sandbox.plugin import lifetimes, marker, wiring

        wiring.wire(config)
        marker.note_mistakes(items)
        lifetimes.tell_of_short_ones(items)


def _marker() -> str:
    return _MARKER.format(
        modes=_either(MODES),
        keep=_either(option_table.KEEP),
        when=_either(reversed(option_table.ARTIFACTS_WHEN)),
        networks=_either(option_table.NETWORKS),
    )


def _either(words: Iterable[str]) -> str:
    *others, last = map(repr, words)
    return f"{', '.join(others)} or {last}"


def _concern_us(items: list[pytest.Item]) -> Iterator[bool]:
    """Whether tests ask for our fixtures, or may meet our errors since they have imported them."""
    import sys

    yield "pytest_fargate_sandbox.leaves.errors" in sys.modules
    for item in items:
        yield any(name.startswith("fargate_") for name in getattr(item, "fixturenames", ()))

"""What pytest sees: options, the marker, fixtures, outcomes, and what many processes share.

A project that does not use us pays for this module, ``options`` and a look at its tests' fixtures. Everything else is
wired up when a test, or a worker, needs it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.plugin import hookspecs, plain_imports  # noqa: F401 - before all else of ours
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
from pytest_fargate_sandbox.plugin.settings import marker_table, options, run_settings, unread_variables

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    options.declare(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    from pytest_fargate_sandbox.plugin.tasks_as_tests import task_collection

    task_collection.keep_out_of_tasks(early_config)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", marker_table.registered())
    config.stash[run_settings.SETTINGS] = settings = options.resolve(config)
    if settings.run["tasks"]:
        from pytest_fargate_sandbox.plugin import wiring

        wiring.wire_tasks(config)
    if hasattr(config, "workerinput"):
        from pytest_fargate_sandbox.plugin.settings import mfa_code

        mfa_code.leave_it_to_the_controller()
    else:
        unread_variables.tell_of_unread(config, os.environ)
    if any(settings.run[name] for name in ("report_json", "html", "compare")) and not hasattr(config, "workerinput"):
        from pytest_fargate_sandbox.plugin import wiring

        wiring.wire_controller(config)


def pytest_report_header(config: pytest.Config) -> str | None:
    settings = config.stash[run_settings.SETTINGS]
    return f"fargate: {settings.describe()}" if settings.configured else None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    from pytest_fargate_sandbox.plugin import wiring
    from pytest_fargate_sandbox.plugin.settings import mfa_code
    from pytest_fargate_sandbox.plugin.telling.traces import TRACES

    run = wiring.wire_controller(node.config)
    run.take_name()
    mfa_code.ask_before_workers(run.settings)
    node.workerinput["fargate_sandbox"] = run.for_worker()
    node.config.stash[TRACES].tell(node.workerinput)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if any(_concern_us(items)):
        from pytest_fargate_sandbox.plugin import lifetimes, wiring
        from pytest_fargate_sandbox.plugin.settings import marker

        wiring.wire(config)
        marker.note_mistakes(items)
        lifetimes.tell_of_short_ones(items)


def _concern_us(items: list[pytest.Item]) -> Iterator[bool]:
    """Whether tests ask for our fixtures, or may meet our errors since they have imported them."""
    import sys

    yield "pytest_fargate_sandbox.leaves.errors" in sys.modules
    for item in items:
        yield any(name.startswith("fargate_") for name in getattr(item, "fixturenames", ()))

"""What tests and examples share: pytester, the number of workers, and the rule that CI has every real component."""

from __future__ import annotations

import gc
import os
import signal
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.skips import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Generator

pytest_plugins = ["pytester", "tests.chaos.summary", "tests.distribution", "tests.last_resort"]

# Tests start hundreds of interpreters, and each worker reads all tests: none needs to compile again what another has.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# What they are about is often modes, whatever the shell's are.
os.umask(0o022)

# A shell's `pytest &` in a script ignores Ctrl-C, and so would all programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_TESTS = Path(__file__).parent / "tests"
_LONGEST_TEST = 420
"""Seconds, on the slowest machine: here the longest takes 50. Some set themselves 400, and tell more than this does."""
_WORKERS_PER_CORE = 3
_MOST_WORKERS = 16
"""Each has engines and sandboxes of its own; beyond this they cost more than they save."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    if not pluginmanager.hasplugin("xdist"):  # else pytest would say that it does not know -n
        raise pytest.UsageError(
            "pytest-xdist is not here: pip install -e '.[local]' for the examples, '.[dev]' for all tests"
        )
    parser.addoption("--soak", action="store_true", help="run the soak tests at their full length, not a short one")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Where one of our own tests waits for ever, it fails, and shows where it waited; the others go on."""
    if config.pluginmanager.hasplugin("timeout") and config.option.timeout is None and not config.option.soak:
        config.option.timeout = _LONGEST_TEST


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """``-n auto`` is a few workers for each core, since the tests wait for real processes more than they compute."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # xdist's own way to say it
    return min(_MOST_WORKERS, round(_WORKERS_PER_CORE * _cores()))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """What is warm is so for all workers."""
    from tests import warm_engine, warm_python

    warm_python.share()
    warm_engine.share()


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, Any, Any]:
    """Thousands of tests stay as long as a worker does: nobody looks through them for garbage, then or later.

    Each worker begins at another place: to rewrite the assertions of a file, half of what it takes to read it the first
    time, is then done by the one that comes there first, and not by all of them at once.
    """
    config = session.config
    worker: dict[str, Any] = getattr(config, "workerinput", {})
    if worker and [config.rootpath / each for each in config.args] == [_TESTS]:
        config.args[:] = _from_a_place_on(int(worker["workerid"].lstrip("gw")) / worker["workercount"])
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _from_a_place_on(share: float) -> list[str]:
    """All parts of the tests, and first the one where that share of their files is behind us."""
    parts = sorted(each for each in _TESTS.iterdir() if each.is_dir() or each.match("test_*.py"))
    sizes = [1 + len(list(each.rglob("test_*.py"))) for each in parts]
    behind = [size / sum(sizes) for size in accumulate(sizes, initial=0)]
    first = sum(each < share for each in behind[:-1])
    return [str(each) for each in parts[first:] + parts[:first]]


@cache
def _part(file: Path) -> tuple[str, ...]:
    return file.relative_to(_TESTS).parts[:1] if file.is_relative_to(_TESTS) else ()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test of what only root, or only somebody else, meets is no test for the other: not run, which is no skip."""
    items.sort(key=lambda item: _part(item.path))  # wherever a worker has begun, xdist wants one order of all
    others = "no_root" if os.geteuid() == 0 else "root"
    deselected = [item for item in items if item.get_closest_marker(others)]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():  # type: ignore[no-untyped-def]
    """In CI a missing real component fails: a skip would hide that something was never tried."""
    report: pytest.TestReport = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        why = report.longrepr[2] if report.longrepr else ""
        if ELSEWHERE not in why:
            report.outcome = "failed"
            report.longrepr = f"skipped, which CI does not allow: {why}"
    return report

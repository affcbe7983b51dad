"""How long a test may take, by pytest-timeout and ``exec_timeout``, and whether its task lives that long.

pytest-timeout ends a test whatever it runs, so where it says something that is what the test may take; else a command
may take ``exec_timeout``. pytest-timeout is asked by its option, variable, ini and mark, and never imported:
https://github.com/pytest-dev/pytest-timeout#usage
"""

from __future__ import annotations

import contextlib
import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_fargate_sandbox.plugin.fixture_keys import FIXTURES, keys_for
from pytest_fargate_sandbox.plugin.settings import marker
from pytest_fargate_sandbox.plugin.settings.run_settings import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig

_FIELD = "max_task_lifetime_sec"
_OF_THE_RUN = ("fargate_session_sandbox", "fargate_session_factory")
_HOUR = 3600


class LifetimeWarning(pytest.PytestWarning):
    """A task ends before its test has to."""

    __module__ = __name__.partition(".")[0]


class _Patience(NamedTuple):
    """So long a test, or one command of it, may take."""

    seconds: float
    said_by: str


def default_for(item: pytest.Item, config: EcsFargateConfig, keys: Mapping[str, Any]) -> int:
    """The time to live of a task for which nobody said one: that of ``config``, or more where its test may take more.

    An hour is for what comes before and after the test. In whole hours, so that tests can have each other's tasks.
    """
    patience = _patience(item, keys)
    if patience is None or _said(item) is not None or not _is_default(config):
        return config.max_task_lifetime_sec
    return max(config.max_task_lifetime_sec, math.ceil(patience.seconds / _HOUR + 1) * _HOUR)


def tell_of_short_ones(items: Iterable[pytest.Item]) -> None:
    """One warning for all tests with the same ``ttl`` and the same time-out; where warnings are errors, theirs."""
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    short: dict[tuple[float, _Patience], list[pytest.Item]] = {}
    for item in items:
        for told in _short_of(item):
            short.setdefault(told, []).append(item)
    for (ttl, patience), tests in short.items():
        first, *others = tests
        text = (
            f"{first.nodeid}{f' and {len(others)} more' if others else ''}: the task ends after {ttl:g} s, and "
            f"{patience.said_by} lets it take {patience.seconds:g} s: raise `ttl`, or lower that"
        )
        try:
            first.warn(LifetimeWarning(text))
        except LifetimeWarning:
            for test in tests:
                marker.note_mistake(test, ConfigError(text, key="ttl", value=ttl))


def _short_of(item: pytest.Item) -> Iterator[tuple[float, _Patience]]:
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    told = set()
    with contextlib.suppress(ConfigError):  # the test has it to tell, in its setup
        for fixture in FIXTURES.intersection(getattr(item, "fixturenames", ())):
            keys = {} if fixture in _OF_THE_RUN else keys_for(item, fixture)
            ttl, patience = keys.get("ttl", _said(item)), _patience(item, keys)
            if ttl is not None and patience is not None and ttl < patience.seconds:
                told.add((ttl, patience))
    yield from told


def _patience(item: pytest.Item, keys: Mapping[str, Any]) -> _Patience | None:
    seconds = _pytest_timeout(item) if item.config.pluginmanager.hasplugin("timeout") else None
    if seconds:
        return _Patience(seconds, "pytest-timeout")
    return _Patience(keys["exec_timeout"], "`exec_timeout`") if "exec_timeout" in keys else None


def _pytest_timeout(item: pytest.Item) -> float | None:
    """What pytest-timeout will make of what was said; 0: no time-out. What it refuses is its own to tell."""
    mark = item.get_closest_marker("timeout")
    marked = mark.kwargs.get("timeout", mark.args[0] if mark.args else None) if mark else None
    for said in (marked, item.config.getoption("timeout", None), os.environ.get("PYTEST_TIMEOUT"), _ini(item.config)):
        if said not in (None, ""):
            with contextlib.suppress(TypeError, ValueError):
                seconds = float(said)
                return seconds if math.isfinite(seconds) else None
            return None
    return None


def _ini(config: pytest.Config) -> Any:
    with contextlib.suppress(ValueError, KeyError):
        return config.getini("timeout")


def _said(item: pytest.Item) -> int | None:
    """What an option or a file says; there is no default among the options."""
    said: int | None = item.config.stash[SETTINGS].config.get(_FIELD)
    return said


def _is_default(config: EcsFargateConfig) -> bool:
    """Not one that a conftest's ``fargate_config`` says, nor one that all share in an SSM parameter."""
    return config.ssm_config is None and config.max_task_lifetime_sec == type(config).max_task_lifetime_sec

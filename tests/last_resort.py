"""A worker that is at one test for too long ends, and says where it was; the others go on, and another takes its place.

pytest-timeout interrupts a test once. What takes it down may wait for the same thing, and that without any limit.
"""

from __future__ import annotations

import faulthandler
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

SECONDS = 600.0
"""More than any test is given by pytest-timeout."""

_STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_STDERR] = os.dup(2)  # while nothing is captured


def pytest_unconfigure(config: pytest.Config) -> None:
    os.close(config.stash[_STDERR])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    is_watched = hasattr(item.config, "workerinput") and not item.config.getoption("soak", False)
    if is_watched:
        faulthandler.dump_traceback_later(SECONDS, exit=True, file=item.config.stash[_STDERR])
    try:
        return (yield)
    finally:
        if is_watched:
            faulthandler.cancel_dump_traceback_later()

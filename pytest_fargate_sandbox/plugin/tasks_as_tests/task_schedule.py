"""Which process tries what of a task, where attempts are made in slots: its solution's and nobody's go to one.

That doing nothing fails in a slot counts only in the process that has seen the solution do it there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

_TRIED = re.compile(r"(?P<task>.*\btask\.(?:toml|yaml))::(?P<who>oracle|nop)(?:\[\d+\])?")


class TaskSchedule:
    """Of the controller's. Whoever wants tests to be dealt out otherwise says so by ``--dist``, or has his own."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        if config.getvalue("dist") != "load":
            return None
        from xdist.scheduler import LoadScheduling

        class LoadOfWholePairs(LoadScheduling):  # type: ignore[misc]
            """xdist's usual one, but that no chunk ends between the two."""

            def _send_tests(self, node: Any, num: int) -> None:
                """There is no hook for it: https://github.com/pytest-dev/pytest-xdist/blob/v3.8.0/src/xdist/scheduler/load.py#L312"""
                super()._send_tests(node, _whole(self.collection, self.pending, num))

        return LoadOfWholePairs(config, log)


def _whole(names: Sequence[str], pending: Sequence[int], count: int) -> int:
    """As many of those that are next as have no nobody behind them whose solution, or whose last try, they end with."""
    while 0 < count < len(pending) and _belongs(names[pending[count]], names[pending[count - 1]]):
        count += 1
    return count


def _belongs(name: str, before: str) -> bool:
    here, there = _TRIED.fullmatch(name), _TRIED.fullmatch(before)
    return bool(here and there and here["task"] == there["task"] and here["who"] == "nop")

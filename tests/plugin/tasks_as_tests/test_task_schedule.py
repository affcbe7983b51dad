"""Which worker has which tests of a task, where attempts are made in slots."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.plugin.tasks_as_tests.task_schedule import _whole
from tests.plugin.one_process import run_pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ["test_it.py::test_it", "a/task.toml::oracle", "a/task.toml::nop", "b/task.toml::oracle[1]"]
NAMES += ["b/task.toml::oracle[2]", "b/task.toml::nop[1]", "b/task.toml::nop[2]", "b/task.toml::exits"]
NAMES += ["c/task.toml::nop", "d/test_task.py::oracle", "d/test_task.py::nop"]


@pytest.mark.parametrize(
    ("pending", "count", "whole"),
    [
        ([0, 1, 2, 3], 2, 3),
        ([0, 1, 2, 3], 1, 1),
        ([0, 1, 2, 3], 3, 3),
        ([3, 4, 5, 6, 7], 1, 1),
        ([3, 4, 5, 6, 7], 2, 4),
        ([3, 4, 5, 6], 3, 4),
        ([1, 8], 1, 1),
        ([9, 10], 1, 1),
        ([1], 5, 5),
        ([], 2, 2),
        ([1, 2], 0, 0),
    ],
)
def test_a_chunk_goes_on_to_the_end_of_a_pair(pending: Sequence[int], count: int, whole: int) -> None:
    assert _whole(NAMES, pending, count) == whole


def test_a_tasks_solution_and_nobody_are_tried_by_one_worker(pytester: pytest.Pytester) -> None:
    """Usual chunks are of two tests here, and the first one is no task's, so that each would part a pair."""
    pytester.makepyfile(test_it="def test_it(): pass")
    for number in range(7):
        (pytester.mkdir(f"t{number}") / "task.toml").write_text("this is no table")
    tried = ("--fargate-tasks", "--fargate-adversaries=none", "--fargate-task-slots", "-p", "no:cacheprovider")
    result = run_pytest(pytester, *tried, "-n2", "-v", "test_it.py", *(f"t{number}" for number in range(7)))
    result.assert_outcomes(passed=1, errors=14)
    workers: dict[str, set[str]] = {}
    for worker, task in re.findall(r"^\[(gw\d)\].* ERROR (t\d)/task.toml::\w+", result.stdout.str(), re.MULTILINE):
        workers.setdefault(task, set()).add(worker)
    assert len(workers) == 7
    assert all(len(each) == 1 for each in workers.values()), workers
    assert len(set().union(*workers.values())) == 2

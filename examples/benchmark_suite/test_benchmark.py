"""A small benchmark: each task is solved in one sandbox and graded in another.

The grader gets a sandbox of its own, so whatever the solution has done to the first one can't touch the verdict. Run it
in parallel with ``pytest examples/benchmark_suite -n 4``: sandboxes of the next tasks start while these are at work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateSandbox


@dataclass(frozen=True)
class Task:
    name: str
    given: str
    solution: str
    """What an agent would have come up with: a command that makes answer.txt out of input.txt."""
    expected: str


TASKS = [
    Task("sort", "pear\napple\n", "sort input.txt > answer.txt", "apple\npear\n"),
    Task("count", "a\nb\nc\n", "grep -c . input.txt > answer.txt", "3\n"),
    Task("upper", "hello\n", "tr a-z A-Z < input.txt > answer.txt", "HELLO\n"),
    Task("first", "1 2\n3 4\n", "cut -d' ' -f1 input.txt > answer.txt", "1\n3\n"),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_task(task: Task, fargate_sandbox_factory: Callable[..., EcsFargateSandbox], tmp_path: Path) -> None:
    solver = fargate_sandbox_factory()
    solver.write_file("/tmp/task/input.txt", task.given)
    assert solver.exec(task.solution, cwd="/tmp/task").ok
    solver.download("/tmp/task/answer.txt", tmp_path / "answer.txt")

    grader = fargate_sandbox_factory()
    grader.upload(tmp_path / "answer.txt", "/tmp/answer.txt")
    grader.write_file("/tmp/expected.txt", task.expected)
    assert grader.exec("cmp /tmp/answer.txt /tmp/expected.txt").ok

"""Shares and what they say."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox.tasks.task_statistics import all_of, mean_share, share


@pytest.mark.parametrize(
    ("passed", "tried", "shown"),
    [
        (0, 1, "0.00 [0.00, 0.79]"),
        (3, 3, "1.00 [0.44, 1.00]"),
        (2, 3, "0.67 [0.21, 0.94]"),
        (50, 100, "0.50 [0.40, 0.60]"),
    ],
)
def test_a_share_has_the_interval_that_so_many_tries_allow(passed: int, tried: int, shown: str) -> None:
    assert str(share(passed, tried)) == shown


def test_of_no_try_there_is_none() -> None:
    assert (share(0, 0), mean_share([]), all_of(1, 0, 0)) == (None, None, None)


@pytest.mark.parametrize(
    ("shares", "shown"),
    [
        ([1.0, 1.0], "1.00 [0.34, 1.00]"),
        ([0.5], "0.50 [0.00, 1.00]"),
        ([0.5, 0.7, 0.6, 0.6], "0.60 [0.52, 0.68]"),
    ],
)
def test_tasks_are_what_counts_and_not_their_tries(shares: list[float], shown: str) -> None:
    assert str(mean_share(shares)) == shown


def test_all_of_some_tries_pass_as_often_as_some_of_them_could_be_chosen() -> None:
    assert [all_of(k, 3, 4) for k in (1, 2, 3, 4, 5)] == [0.75, 0.5, 0.25, 0.0, None]

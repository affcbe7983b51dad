"""A wait is a probe, a deadline and a growing pause; clock and sleep are arguments."""

from __future__ import annotations

import itertools

import pytest

from pytest_fargate_sandbox.leaves.waiting import NotYet, WaitTimeout, pauses, wait_until


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)

    def __call__(self) -> float:
        return self.now


def test_the_first_answer_ends_the_wait_without_a_pause() -> None:
    clock = Clock()
    assert wait_until(lambda: 7, deadline=1, what="seven", sleep=clock.sleep, clock=clock) == 7
    assert clock.slept == []


def test_the_wait_never_oversleeps_its_deadline_and_says_what_it_saw() -> None:
    clock = Clock()

    def probe() -> int | None:
        raise NotYet(f"port closed at {clock.now:.1f}")

    with pytest.raises(WaitTimeout, match=r"the server did not happen within 3.0 s: port closed at 3.0"):
        wait_until(probe, deadline=3, what="the server", sleep=clock.sleep, clock=clock)
    assert clock.now == pytest.approx(3)


def test_another_exception_ends_the_wait_at_once() -> None:
    def probe() -> int | None:
        raise ValueError("wrong subnet")

    with pytest.raises(ValueError, match="wrong subnet"):
        wait_until(probe, deadline=60, what="the task")


def test_pauses_grow_to_their_longest_with_jitter() -> None:
    taken = list(itertools.islice(pauses(0.1, 1.0), 12))
    assert 0.075 <= taken[0] <= 0.125
    assert all(0.75 <= pause <= 1.25 for pause in taken[6:])

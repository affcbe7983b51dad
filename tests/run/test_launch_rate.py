"""One token bucket for all processes of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.shared_state import SharedState
from pytest_fargate_sandbox.run.launch_rate import LaunchRate

if TYPE_CHECKING:
    from pathlib import Path


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def a_rate(directory: Path, time: Time) -> LaunchRate:
    return LaunchRate(SharedState(directory), per_second=20, burst=100, clock=time.clock, sleep=time.sleep)


def test_a_burst_goes_out_at_once_and_the_rest_at_the_rate(tmp_path: Path) -> None:
    time = Time()
    rate = a_rate(tmp_path, time)
    for _ in range(100):
        rate.take()
    assert time.now == 100.0
    for _ in range(40):
        rate.take()
    assert round(time.now, 6) == 102.0


def test_two_processes_draw_from_one_bucket(tmp_path: Path) -> None:
    time = Time()
    first, second = a_rate(tmp_path, time), a_rate(tmp_path, time)
    for _ in range(60):
        first.take()
        second.take()
    assert round(time.now, 6) == 101.0


def test_a_rest_fills_the_bucket_but_never_beyond_its_size(tmp_path: Path) -> None:
    time = Time()
    rate = a_rate(tmp_path, time)
    time.now += 3600
    for _ in range(100):
        rate.take()
    before = time.now
    rate.take()
    assert round(time.now - before, 6) == 0.05

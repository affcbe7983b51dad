"""Containers of podman and docker start in the order of their tasks, so many at once."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.runners.podman.start_order import StartOrder


class _Starts:
    """Of tasks that each start something, whose end the test says."""

    def __init__(self, order: StartOrder) -> None:
        self._order = order
        self.begun: list[int] = []
        self._ends: dict[int, threading.Event] = {}
        self._threads: list[threading.Thread] = []

    def ask(self, task: int) -> None:
        self._ends[task] = threading.Event()
        before = self._known()
        thread = threading.Thread(target=self._start, args=(task,), daemon=True)
        thread.start()
        self._threads.append(thread)
        wait_until(lambda: self._known() > before or None, deadline=30, what="its question")

    def _known(self) -> int:
        with self._order._changed:
            return len(self._order._waiting) + len(self._order._at_work)

    def _start(self, task: int) -> None:
        with self._order.turn(task):
            self.begun.append(task)
            self._ends[task].wait(60)

    def end(self, task: int) -> None:
        self._ends[task].set()

    def wait_for(self, *begun: int) -> None:
        wait_until(lambda: self.begun == list(begun) or None, deadline=30, what=f"{begun}, and it is {self.begun}")

    def close(self) -> None:
        for end in self._ends.values():
            end.set()
        for thread in self._threads:
            thread.join(30)


def test_the_first_task_goes_on_before_the_last_begins() -> None:
    starts = _Starts(StartOrder(2, most_sec=600))
    for task in (4, 5, 9, 7, 8, 6):
        starts.ask(task)
    starts.wait_for(4, 5)
    starts.ask(3)  # the second start of a task that had asked first
    starts.end(5)
    starts.wait_for(4, 5, 3)
    starts.end(4)
    starts.wait_for(4, 5, 3, 6)
    starts.close()
    assert starts.begun == [4, 5, 3, 6, 7, 8, 9]


def test_one_that_hangs_makes_room_while_it_goes_on() -> None:
    starts = _Starts(StartOrder(1, most_sec=0.2))
    began = time.monotonic()
    starts.ask(1)
    starts.ask(2)
    starts.wait_for(1, 2)
    assert time.monotonic() - began >= 0.2
    starts.close()


def test_a_start_that_fails_takes_up_no_room() -> None:
    order = StartOrder(1, most_sec=600)
    for _ in range(3):
        with suppress(ValueError), order.turn(0):
            raise ValueError
    assert not order._waiting
    assert not order._at_work

"""The bound on tasks at once: counted until STOPPED, needed beats prelaunched, and never a deadlock."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import ConfigError, StartError
from pytest_fargate_sandbox.leaves.shared_state import SharedState
from pytest_fargate_sandbox.run.bound import SHELF, TaskBound, forget_worker

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


class ControlPlane:
    """Tasks stop when they are told to, a moment later."""

    def __init__(self) -> None:
        self.stopping: list[str] = []
        self.over: set[str] = set()

    def stop(self, arn: str) -> None:
        self.stopping.append(arn)

    def described(self, arns: Collection[str]) -> dict[str, dict[str, Any]]:
        found = {arn: {"lastStatus": "STOPPED" if arn in self.over else "RUNNING"} for arn in arns}
        self.over |= set(self.stopping)
        return found


class House:
    def __init__(self, directory: Path, limit: int | None) -> None:
        self.directory, self.limit, self.plane = directory, limit, ControlPlane()
        self.state = SharedState(directory)

    def worker(self, name: str) -> TaskBound:
        return TaskBound(SharedState(self.directory), self.limit, name, self.plane, sleep=lambda _: None)

    def prelaunched(self, task_id: str, arn: str | None) -> None:
        with self.state.change() as document:
            rows = document.setdefault("tasks", {})
            rows[task_id] = {"kind": "k", "worker": "gw9", "role": SHELF, "arn": arn}

    @property
    def tasks(self) -> dict[str, str]:
        return {name: row["role"] for name, row in self.state.read()["tasks"].items()}


def test_a_task_counts_until_it_is_stopped(tmp_path: Path) -> None:
    house = House(tmp_path, 1)
    first, second = house.worker("gw0"), house.worker("gw1")
    first.admit("a", "k")
    first.launched("a", "arn:a")
    house.plane.stop("arn:a")
    first.stopping("a")
    assert house.tasks == {"a": "stopping"}
    second.admit("b", "k")
    assert house.tasks == {"b": "held"}


def test_who_needs_one_takes_the_place_of_a_prelaunched_one(tmp_path: Path) -> None:
    house = House(tmp_path, 2)
    house.prelaunched("p", "arn:p")
    house.prelaunched("q", "arn:q")
    house.worker("gw0").admit("a", "other")
    assert house.plane.stopping == ["arn:p"]
    assert house.tasks == {"q": "shelf", "a": "held"}


def test_where_the_account_is_full_what_was_only_prelaunched_makes_way(tmp_path: Path) -> None:
    house = House(tmp_path, None)
    house.prelaunched("p", "arn:p")
    house.prelaunched("still being launched", None)
    bound = house.worker("gw0")
    assert bound.make_way()
    assert house.plane.stopping == ["arn:p"]
    assert house.tasks == {"still being launched": "shelf"}
    assert not bound.make_way()


def test_nothing_is_prelaunched_where_somebody_waits(tmp_path: Path) -> None:
    house = House(tmp_path, 2)
    bound = house.worker("gw0")
    bound.admit("a", "k")
    assert bound.has_room_ahead(house.state.read())
    assert not bound.has_room_ahead({**house.state.read(), "waiting": {"gw1": 1}})


def test_a_test_that_needs_more_than_the_bound_is_told_so(tmp_path: Path) -> None:
    bound = House(tmp_path, 2).worker("gw0")
    bound.admit("a", "k")
    bound.admit("b", "k")
    with pytest.raises(ConfigError, match="needs 3 sandboxes at once, and the bound on tasks is 2"):
        bound.admit("c", "k")


def test_two_tests_that_each_hold_what_the_other_needs_do_not_wait_forever(tmp_path: Path) -> None:
    house = House(tmp_path, 2)
    bounds = [house.worker("gw0"), house.worker("gw1")]
    both_hold_one = threading.Barrier(2)
    problems: list[Exception] = []

    def needs_two(name: str, bound: TaskBound) -> None:
        bound.admit(f"{name}1", "k")
        both_hold_one.wait(10)
        try:
            bound.admit(f"{name}2", "k")
        except StartError as error:
            problems.append(error)
            bound.stopping(f"{name}1")  # the test ends, and with it what it held

    threads = [threading.Thread(target=needs_two, args=each) for each in zip("ab", bounds, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert len(problems) == 1
    assert problems[0].transient


def test_who_gives_way_does_not_get_ahead_of_who_waited(tmp_path: Path) -> None:
    house = House(tmp_path, 2)
    house.worker("gw0").admit("a", "k")
    with house.state.change() as document:
        document["waiting"]["gw1"] = 1
    turns: list[str] = []

    def other_goes_first(_seconds: float) -> None:
        turns.append("gw0 waits")
        with house.state.change() as document:
            document["waiting"].pop("gw1", None)

    TaskBound(house.state, 2, "gw0", house.plane, sleep=other_goes_first).admit("b", "k")
    assert turns == ["gw0 waits"]


def test_what_a_worker_that_crashed_had_is_on_its_way_out_and_what_it_prelaunched_stays(tmp_path: Path) -> None:
    house = House(tmp_path, 3)
    bound = house.worker("gw0")
    bound.admit("a", "k")
    bound.launched("a", "arn:a")
    bound.admit("launching", "k")
    house.prelaunched("p", "arn:p")
    forget_worker(house.state, "gw0")
    assert house.tasks == {"a": "stopping", "p": "shelf"}


def test_without_a_bound_nobody_waits(tmp_path: Path) -> None:
    house = House(tmp_path, None)
    bound = house.worker("gw0")
    for number in range(50):
        bound.admit(str(number), "k")
    bound.launched("0", "arn:0")
    bound.stopping("0")
    assert len(house.tasks) == 49

"""The bound on tasks at once: counted until STOPPED, needed beats prelaunched, and never a deadlock."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import ConfigError, StartError
from pytest_fargate_sandbox.leaves.shared_state import SharedState
from pytest_fargate_sandbox.run.bound import NOTHING, SHELF, STOPPING, Instead, NoLongerNeeded, TaskBound, forget_worker
from pytest_fargate_sandbox.run.sandbox_spec import Wants
from pytest_fargate_sandbox.run.slot_book import KEPT, SHARED

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


_WANTS, _OTHERS = Wants("k", 1024), Wants("other", 1024)


class ControlPlane:
    """Tasks stop when they are told to, a moment later."""

    def __init__(self) -> None:
        self.stopping: list[str] = []
        self.over: set[str] = set()

    def stop(self, arn: str) -> None:
        self.stopping.append(arn)

    def described(self, arns: Collection[str], **_within: float) -> dict[str, dict[str, Any]]:
        found = {
            arn: {
                "lastStatus": "STOPPED" if arn in self.over else "RUNNING",
                "desiredStatus": "STOPPED" if arn in self.stopping else "RUNNING",
            }
            for arn in arns
        }
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
            rows[task_id] = {**_WANTS._asdict(), "worker": "gw9", "role": SHELF, "arn": arn}

    def shared(self, task_id: str, tenants: list[str]) -> None:
        with self.state.change() as document:
            row = {**_WANTS._asdict(), "worker": "gw9", "role": SHARED, "arn": f"arn:{task_id}", "tenants": tenants}
            document.setdefault("tasks", {})[task_id] = row

    @property
    def tasks(self) -> dict[str, str]:
        return {name: row["role"] for name, row in self.state.read()["tasks"].items()}


def test_a_task_counts_until_it_is_stopped(tmp_path: Path) -> None:
    house = House(tmp_path, 1)
    first, second = house.worker("gw0"), house.worker("gw1")
    first.admit("a", _WANTS)
    first.launched("a", "arn:a")
    house.plane.stop("arn:a")
    first.stopping("a")
    assert house.tasks == {"a": "stopping"}
    second.admit("b", _WANTS)
    assert house.tasks == {"b": "held"}


def test_who_needs_one_takes_the_place_of_a_prelaunched_one(tmp_path: Path) -> None:
    house = House(tmp_path, 2)
    house.prelaunched("p", "arn:p")
    house.prelaunched("q", "arn:q")
    house.worker("gw0").admit("a", _OTHERS)
    assert house.plane.stopping == ["arn:p"]
    assert house.tasks == {"q": "shelf", "a": "held"}


_FULL = "You've reached the limit on the number of vCPUs you can run concurrently"


def test_who_the_account_has_no_room_for_waits_until_a_task_of_the_run_has_ended(tmp_path: Path) -> None:
    house = House(tmp_path, None)
    first, second = house.worker("gw0"), house.worker("gw1")
    for task_id in ("a", "b"):
        first.admit(task_id, _WANTS)
        first.launched(task_id, f"arn:{task_id}")
    second.admit("c", _WANTS)
    assert second.refused("c", _FULL)
    waits: list[str] = []

    def one_ends(_seconds: float) -> None:
        if not waits:
            house.plane.stop("arn:a")
            first.stopping("a")
        waits.append(" ".join(sorted(house.tasks)))

    TaskBound(house.state, None, "gw1", house.plane, sleep=one_ends).admit("c", _WANTS)
    assert waits[0] == "a b", "one that is on its way out takes up room"
    assert house.tasks == {"b": "held", "c": "held"}


def test_where_the_account_is_full_nothing_is_launched_ahead_and_what_was_makes_way(tmp_path: Path) -> None:
    house = House(tmp_path, None)
    house.prelaunched("p", "arn:p")
    bound = house.worker("gw0")
    assert bound.has_room_ahead(house.state.read())
    bound.admit("a", _OTHERS)
    assert bound.refused("a", _FULL)
    assert not bound.has_room_ahead(house.state.read())
    bound.admit("a", _OTHERS)
    assert house.plane.stopping == ["arn:p"]
    assert house.tasks == {"a": "held"}


def test_who_needs_more_than_the_account_ever_had_room_for_is_told_when_nothing_else_is_there(tmp_path: Path) -> None:
    house = House(tmp_path, None)
    small, large = house.worker("gw0"), house.worker("gw1")
    small.admit("a", _WANTS)
    small.launched("a", "arn:a")
    large.admit("b", Wants("large", 4096))
    assert large.refused("b", _FULL)
    house.plane.stop("arn:a")
    small.stopping("a")
    large.admit("b", Wants("large", 4096), patience=5)
    assert not large.refused("b", _FULL)


def test_every_half_minute_one_launch_finds_out_whether_there_is_room_again(tmp_path: Path) -> None:
    house = House(tmp_path, None)
    bounds = [house.worker(f"gw{number}") for number in range(3)]
    bounds[0].admit("a", _WANTS)
    bounds[0].launched("a", "arn:a")
    bounds[1].admit("b", _WANTS)
    assert bounds[1].refused("b", _FULL)
    with house.state.change() as document:
        document["room"]["at"] -= 31
    bounds[1].admit("b", _WANTS)
    with pytest.raises(StartError, match="none came within"):
        bounds[2].admit("c", _WANTS, patience=0.05)
    bounds[1].launched("b", "arn:b")
    bounds[2].admit("c", _WANTS)
    assert house.tasks == {"a": "held", "b": "held", "c": "held"}


def test_a_run_that_has_nothing_waits_for_nothing(tmp_path: Path) -> None:
    house = House(tmp_path, None)
    bound = house.worker("gw0")
    bound.admit("a", _WANTS)
    assert not bound.refused("a", _FULL)
    assert house.tasks == {}


def test_tests_that_hold_all_that_the_account_has_room_for_and_want_more_are_told_so(tmp_path: Path) -> None:
    house = House(tmp_path, None)
    first, second = house.worker("gw0"), house.worker("gw1")
    first.admit("a", _WANTS)
    first.admit("b", _WANTS)
    assert first.refused("b", _FULL)
    with pytest.raises(StartError, match=r"beside the 1 that this test has.*\n.*Service Quotas console") as caught:
        first.admit("b", _WANTS)
    assert (caught.value.cause, caught.value.transient) == ("quota", False)
    with house.state.change() as document:
        document["tasks"]["c"] = {**_WANTS._asdict(), "worker": "gw1", "role": "held", "arn": "arn:c"}
        document["waiting"]["gw0"] = 1
    with pytest.raises(StartError, match="beside the 2 of this run, all held by tests that wait") as caught:
        second.admit("d", _WANTS)
    assert (caught.value.cause, caught.value.transient) == ("quota", True)


def test_room_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    house = House(tmp_path, None)
    house.worker("gw0").admit("a", _WANTS)
    bound = house.worker("gw1")
    bound.admit("b", _WANTS)
    assert bound.refused("b", _FULL)
    with pytest.raises(StartError, match=r"none came within 0 s \(You've reached the limit"):
        bound.admit("b", _WANTS, patience=0.05)
    assert house.state.read()["waiting"] == {}


def test_nothing_is_prelaunched_where_somebody_waits(tmp_path: Path) -> None:
    house = House(tmp_path, 2)
    bound = house.worker("gw0")
    bound.admit("a", _WANTS)
    assert bound.has_room_ahead(house.state.read())
    assert not bound.has_room_ahead({**house.state.read(), "waiting": {"gw1": 1}})


def test_a_test_that_needs_more_than_the_bound_is_told_so(tmp_path: Path) -> None:
    bound = House(tmp_path, 2).worker("gw0")
    bound.admit("a", _WANTS)
    bound.admit("b", _WANTS)
    with pytest.raises(ConfigError, match="needs 3 sandboxes at once, and the bound on tasks is 2"):
        bound.admit("c", _WANTS)


def test_two_tests_that_each_hold_what_the_other_needs_do_not_wait_forever(tmp_path: Path) -> None:
    house = House(tmp_path, 2)
    bounds = [house.worker("gw0"), house.worker("gw1")]
    both_hold_one = threading.Barrier(2)
    problems: list[Exception] = []

    def needs_two(name: str, bound: TaskBound) -> None:
        bound.admit(f"{name}1", _WANTS)
        both_hold_one.wait(10)
        try:
            bound.admit(f"{name}2", _WANTS)
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


def test_who_gave_way_comes_back_when_there_is_room_for_all_that_it_needs(tmp_path: Path) -> None:
    house = House(tmp_path, 3)
    bounds = {name: house.worker(name) for name in ("gw0", "gw1", "gw2")}
    for name, bound in bounds.items():
        bound.admit(name, _WANTS)
        bound.launched(name, f"arn:{name}")
    with house.state.change() as document:
        document["waiting"] = {"gw1": 1, "gw2": 1}
    with pytest.raises(StartError, match="gives way"):
        bounds["gw0"].admit("gw0+", _WANTS)
    with house.state.change() as document:
        document["waiting"] = {}
    house.plane.stop("arn:gw0")
    bounds["gw0"].stopping("gw0")
    sights: list[list[str]] = []

    def others_go_on(_seconds: float) -> None:
        sights.append(sorted(house.tasks))
        if len(sights) == 2:  # it waits, in front of the others, and keeps none of them
            bounds["gw1"].admit("gw1+", _WANTS)
        if len(sights) == 3:
            for task_id in ("gw1", "gw1+"):
                bounds["gw1"].launched(task_id, f"arn:{task_id}")
                house.plane.stop(f"arn:{task_id}")
                bounds["gw1"].stopping(task_id)

    TaskBound(house.state, 3, "gw0", house.plane, sleep=others_go_on).admit("gw0", _WANTS)
    assert ["gw1", "gw2"] in sights
    assert ["gw1", "gw1+", "gw2"] in sights
    assert sorted(house.tasks) == ["gw0", "gw2"]


def test_who_gives_way_does_not_get_ahead_of_who_waited(tmp_path: Path) -> None:
    house = House(tmp_path, 2)
    house.worker("gw0").admit("a", _WANTS)
    with house.state.change() as document:
        document["waiting"]["gw1"] = 1
    turns: list[str] = []

    def other_goes_first(_seconds: float) -> None:
        turns.append("gw0 waits")
        with house.state.change() as document:
            document["waiting"].pop("gw1", None)

    TaskBound(house.state, 2, "gw0", house.plane, sleep=other_goes_first).admit("b", _WANTS)
    assert turns == ["gw0 waits"]


def test_what_a_worker_that_crashed_had_is_on_its_way_out_and_what_it_prelaunched_stays(tmp_path: Path) -> None:
    house = House(tmp_path, 3)
    bound = house.worker("gw0")
    bound.admit("a", _WANTS)
    bound.launched("a", "arn:a")
    bound.admit("launching", _WANTS)
    house.prelaunched("p", "arn:p")
    assert forget_worker(house.state, "gw0", launched={}, shelved=[]) == ["arn:a"]
    assert house.tasks == {"a": "stopping", "p": "shelf"}


def test_what_a_worker_launched_and_was_killed_before_it_told_is_counted_and_of_use(tmp_path: Path) -> None:
    house = House(tmp_path, 4)
    for task_id in ("ahead", "refused"):
        house.prelaunched(task_id, None)
    bound = house.worker("gw9")
    bound.admit("mine+3f2a", _WANTS)
    launched = {"ahead": "arn:ahead", "mine": "arn:mine"}
    assert forget_worker(house.state, "gw9", launched=launched, shelved={"arn:ahead"}) == ["arn:mine"]
    assert house.tasks == {"ahead": "shelf", "mine+3f2a": "stopping"}
    assert house.state.read()["tasks"]["ahead"]["arn"] == "arn:ahead"


def test_what_was_to_stop_and_was_never_told_to_is_told_by_who_waits(tmp_path: Path) -> None:
    """Whoever was about to tell it was killed."""
    house = House(tmp_path, 1)
    house.prelaunched("p", "arn:p")
    with house.state.change() as document:
        document["tasks"]["p"].update(role=STOPPING, since=time.monotonic() - 10)
    house.worker("gw0").admit("a", _WANTS)
    assert house.plane.stopping == ["arn:p"]
    assert house.tasks == {"a": "held"}


def test_without_a_bound_nobody_waits(tmp_path: Path) -> None:
    house = House(tmp_path, None)
    bound = house.worker("gw0")
    for number in range(50):
        bound.admit(str(number), _WANTS)
    bound.launched("0", "arn:0")
    bound.stopping("0")
    assert len(house.tasks) == 50


def test_a_machine_whose_slots_nobody_has_makes_way(tmp_path: Path) -> None:
    house = House(tmp_path, 2)
    for name, tenants in (("a", ["gw1"]), ("b", [])):
        house.shared(name, tenants)
    house.worker("gw0").admit("c", _WANTS)
    assert house.plane.stopping == ["arn:b"]


@pytest.mark.parametrize("tenants", [["gw0"], ["gw0", "gw1"]])
def test_who_has_a_slot_of_the_only_machine_and_wants_another_is_told(tmp_path: Path, tenants: list[str]) -> None:
    house = House(tmp_path, 1)
    house.shared("a", tenants)
    with pytest.raises(ConfigError, match="needs 2 sandboxes at once"):
        house.worker("gw0").admit("b", _WANTS)


def test_who_waits_beside_machines_that_are_kept_is_told(tmp_path: Path) -> None:
    house = House(tmp_path, 1)
    house.shared("a", [KEPT])
    with pytest.raises(StartError, match="all 1 tasks"):
        house.worker("gw0").admit("b", _WANTS)


def test_who_can_do_without_waits_no_longer(tmp_path: Path) -> None:
    house = House(tmp_path, 1)
    house.shared("a", ["gw1"])
    asked: list[int] = []
    with pytest.raises(NoLongerNeeded):
        house.worker("gw0").admit(
            "b", _WANTS, instead=Instead(lambda _: len(asked) == 2 or bool(asked.append(1)), NOTHING.may_come)
        )
    assert house.state.read()["waiting"] == {}


def test_a_worker_that_crashed_leaves_machines_to_the_others(tmp_path: Path) -> None:
    house = House(tmp_path, 2)
    house.shared("a", [])
    forget_worker(house.state, "gw9", launched={}, shelved=[])
    assert house.tasks == {"a": SHARED}


def test_who_hopes_for_something_else_waits_though_all_tasks_are_his_as_long_as_he_may(tmp_path: Path) -> None:
    house = House(tmp_path, 1)
    house.shared("a", ["gw0", "gw1"])
    asked: list[list[str]] = []

    def may_come(_document: dict[str, Any], waiting: Collection[str]) -> bool:
        asked.append(list(waiting))
        return len(asked) < 3

    with pytest.raises(ConfigError, match="needs 2 sandboxes at once"):
        house.worker("gw0").admit("b", _WANTS, instead=Instead(NOTHING.is_there, may_come))
    assert asked == [["gw0"]] * 3

"""Who has which slot of which machine, as the processes of a run write it down."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_fargate_sandbox.run import slot_book
from pytest_fargate_sandbox.run.slot_book import KEPT, SHARED, Place, Tenant, place_for

FACTS = {"task_arn": "arn:1"}
DEAD = {"pid": 4194304, "pid_began": "never"}


class Run:
    """The document, and who asks for slots of a kind with two on each machine."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"tasks": {}}

    def wants(self, claim: str, worker: str = "gw0", kind: str = "k", near: tuple[str, ...] = ()) -> Place:
        return place_for(self.document, Tenant(claim, worker), kind, 2, near)

    def comes_up(self, machine: str, ttl: float = 1000.0) -> None:
        row = f"task-{machine}"
        self.document["tasks"][row] = {"kind": "k", "worker": "gw0", "role": "held", "arn": "arn:1"}
        slot_book.came_up(self.document, machine, row=row, ttl=ttl, facts=FACTS)

    def gives_back(self, claim: str, **how: Any) -> str | None:
        return slot_book.let_go(self.document, Tenant(claim, "gw0"), **how)

    def tenants(self, machine: str) -> list[str]:
        row: dict[str, Any] = self.document["tasks"][f"task-{machine}"]
        assert row["role"] == SHARED
        return list(row["tenants"])


@pytest.fixture
def run() -> Run:
    return Run()


def test_of_a_crowd_one_starts_a_machine_and_as_many_as_it_has_slots_wait_for_it(run: Run) -> None:
    assert [run.wants(each) for each in "abc"] == [
        Place("machine1", 0, None, is_ours_to_start=True),
        Place("machine1", 1),
        Place("machine2", 0, None, is_ours_to_start=True),
    ]
    assert run.wants("b") == Place("machine1", 1), "asked again"
    run.comes_up("machine1")
    assert run.wants("b") == Place("machine1", 1, FACTS)


def test_what_is_given_back_is_had_again_by_who_waits_for_another_machine(run: Run) -> None:
    for each in "abc":
        run.wants(each)
    run.comes_up("machine1")
    assert not slot_book.is_free_now(run.document, "k")
    run.gives_back("a")
    assert slot_book.is_free_now(run.document, "k")
    assert not slot_book.is_free_now(run.document, "of another kind")
    assert run.wants("c") == Place("machine1", 0, FACTS)
    assert list(run.document["machines"]) == ["machine1"], "nobody waits for the other any more"


def test_one_that_this_process_is_connected_to_is_preferred(run: Run) -> None:
    for each in "abc":
        run.wants(each)
    run.comes_up("machine1")
    run.comes_up("machine2")
    run.gives_back("a")
    assert run.wants("d", near=("machine2",)) == Place("machine2", 1, FACTS)


def test_where_a_machine_does_not_start_the_next_who_waits_tries(run: Run) -> None:
    run.wants("a")
    run.wants("b")
    slot_book.did_not_start(run.document, "machine1")
    run.gives_back("a")
    assert run.wants("b").is_ours_to_start
    slot_book.did_not_start(run.document, "machine1")
    run.gives_back("b")
    assert run.document["machines"] == {}


def test_who_starts_one_and_dies_is_replaced(run: Run) -> None:
    run.wants("a")
    run.document["machines"]["machine1"]["starter"].update(DEAD)
    assert run.wants("b") == Place("machine1", 1, None, is_ours_to_start=True)


def test_what_the_dead_had_is_had_by_others_whether_somebody_tells_of_it_or_not(run: Run) -> None:
    run.wants("a", "gw1")
    run.wants("b", "gw2")
    run.comes_up("machine1")
    run.document["machines"]["machine1"]["held"]["1"].update(DEAD)
    assert run.wants("c") == Place("machine1", 1, FACTS)
    slot_book.forget_worker(run.document, "gw1")
    assert run.wants("d") == Place("machine1", 0, FACTS)
    assert run.tenants("machine1") == ["gw0"]


def test_a_retired_slot_is_nobodys_and_a_machine_with_no_other_is_told(run: Run) -> None:
    for each in "ab":
        run.wants(each)
    run.comes_up("machine1")
    assert run.gives_back("a", retired=True) is None
    assert run.wants("c").machine == "machine2"
    assert run.gives_back("b", retired=True) == "machine1"


def test_a_kept_slot_is_nobodys_and_its_machine_never_idle(run: Run) -> None:
    run.wants("a")
    run.comes_up("machine1")
    assert slot_book.keep(run.document, Tenant("a", "gw0"), "test_a") == ["test_a"]
    run.gives_back("a")
    assert run.tenants("machine1") == [KEPT]
    assert run.wants("b") == Place("machine1", 1, FACTS)
    assert slot_book.keep(run.document, Tenant("b", "gw0"), "test_b") == ["test_a", "test_b"]


def test_a_machine_that_made_way_or_is_lost_or_old_is_nobodys(run: Run) -> None:
    run.wants("a")
    run.comes_up("machine1")
    run.gives_back("a")
    assert run.tenants("machine1") == [], "it may make way"
    run.document["tasks"]["task-machine1"]["role"] = "stopping"
    assert run.wants("b").machine == "machine2"
    run.comes_up("machine2")
    assert slot_book.lose(run.document, "machine2") == "task-machine2"
    assert slot_book.lose(run.document, "machine2") is None
    assert run.wants("b").machine == "machine3"
    run.comes_up("machine3", ttl=0.0)
    assert run.wants("b") == Place("machine3", 0, FACTS), "who has it already goes on"
    assert run.wants("c").machine == "machine4"


def test_who_has_what_the_starter_of_a_machine_waits_for_does_not_wait_for_the_machine(run: Run) -> None:
    run.wants("a", "gw0")
    assert run.wants("b", "gw1") == Place("machine1", 1), "nobody is in anybody's way yet"
    place = place_for(run.document, Tenant("b", "gw1"), "k", 2, may_wait_for=lambda worker: worker != "gw0")
    assert place == Place("machine2", 0, None, is_ours_to_start=True)


def test_a_slot_may_become_free_as_long_as_who_has_one_does_not_wait_as_well(run: Run) -> None:
    for claim, worker in (("a", "gw0"), ("b", "gw1")):
        run.wants(claim, worker)
    run.comes_up("machine1")
    assert slot_book.may_become_free(run.document, "k", ["gw0"])
    assert not slot_book.may_become_free(run.document, "k", ["gw0", "gw1"])
    assert not slot_book.may_become_free(run.document, "of another kind", ["gw0"])
    slot_book.keep(run.document, Tenant("b", "gw1"), "test_b")
    assert not slot_book.may_become_free(run.document, "k", ["gw0"])

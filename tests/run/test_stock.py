"""How many are launched ahead: by what launches and tests take, and by what comes next."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pytest_fargate_sandbox.run.kind_notes import ALL, Document, KindNotes, Notes, learnt
from pytest_fargate_sandbox.run.stock import FixedStock, StockBySight, is_growing

KINDS = KindNotes()


def noted(*, launch: float = 0.0, busy: float = 0.0, claimed: int = 0, **more: Any) -> Notes:
    known = {name: [seconds, 1.0] for name, seconds in (("launch", launch), ("busy", busy)) if seconds}
    return Notes(claimed=claimed, **known, **more)


def by_sight(notes: Notes, workers: int, guess: float = 1.0) -> int:
    """Of a run in which all tests want the same kind."""
    return StockBySight(workers).wanted(range(1000), notes, notes, guess)


@pytest.mark.parametrize(
    ("workers", "launch", "busy", "wanted"),
    [(8, 5.0, 1.0, 40 + 13), (8, 35.0, 300.0, 3), (1, 0.2, 600.0, 1), (1, 35.0, 60.0, 2)],
)
def test_it_is_workers_times_launch_divided_by_test_and_twice_the_deviation(
    workers: int, launch: float, busy: float, wanted: int
) -> None:
    assert by_sight(noted(launch=launch, busy=busy, claimed=20), workers) == wanted


def test_in_the_beginning_each_worker_wants_one_and_more_the_longer_the_first_takes() -> None:
    assert by_sight(Notes(), 8) == 8
    under_way = noted(first_at=time.monotonic() - 2.0)
    assert is_growing(under_way)
    assert by_sight(under_way, 8, guess=1.0) == 8 + 16 + 8
    assert by_sight(under_way, 8, guess=30.0) == 8 + 2


def test_of_kinds_that_one_test_each_wants_those_that_come_next_are_launched() -> None:
    of_all, stock = noted(launch=35.0, busy=35.0, claimed=10), StockBySight(4)
    wanted = [place for place in range(10, 100) if stock.wanted([place], Notes(), of_all, 1.0)]
    assert wanted == list(range(10, 18))


def test_a_fixed_number_is_what_it_says() -> None:
    assert FixedStock(6).wanted(range(9), noted(launch=35.0), noted(launch=35.0), 1.0) == 6


def test_a_worker_is_busy_from_one_sandbox_to_the_next_and_waits_do_not_count() -> None:
    document: Document = {}
    for _ in range(3):
        KINDS.note_claim(document, "k", "gw0")
        time.sleep(0.2)  # it waits
        KINDS.note_got(document, "k", "gw0")
        KINDS.note_launch(document, "k", 0.2)
        time.sleep(0.02)  # its test runs
    KINDS.of(document, "k")["came_up"] = True
    times = learnt(document)["k"]
    assert times["launch"] == 0.2
    assert 0.02 <= times["busy"] < 0.2


def test_the_next_run_begins_with_what_was_learnt_and_soon_knows_better() -> None:
    document: Document = {}
    kinds = KindNotes({ALL: {"launch": 5.0, "busy": 1.0}, "k": {"launch": 5.0}})
    assert by_sight(kinds.seen(document, ALL), 8) == 8 + 40 + 13
    assert kinds.seen(document, "k")["open"], "it has come up"
    for _ in range(30):
        kinds.note_launch(document, "k", 0.1)
    assert by_sight(kinds.seen(document, ALL), 8) < 8 + 15, "it was quite a different suite"


@pytest.mark.parametrize(
    "spoilt",
    [None, [], "x", {"k": 5}, {"k": {"launch": "x"}}, {"k": {"launch": -1}}, {"k": {"launch": float("nan")}}],
    ids=str,
)
def test_what_is_remembered_and_makes_no_sense_is_forgotten(spoilt: Any) -> None:
    assert KindNotes(spoilt).seen({}, "k") == {}

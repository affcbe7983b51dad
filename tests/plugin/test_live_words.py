"""What the live line says, and that it says nothing where nothing is waited for."""

from __future__ import annotations

from pytest_fargate_sandbox.plugin.live_words import describe
from pytest_fargate_sandbox.records.ledger import Entry, this_process


def an_entry(*events: str, t: float = 100.0, **facts: object) -> Entry:
    return Entry("id", facts=dict(facts), events=list(events), times=dict.fromkeys(events, t))


LAUNCHING = ("opened", "launching", "launched")


def test_it_tells_what_is_starting_and_for_how_long() -> None:
    entries = [
        an_entry(*LAUNCHING, task_arn="a"),
        an_entry(*LAUNCHING, task_arn="b", t=108.0),
        an_entry(*LAUNCHING, "ready", task_arn="c"),
        an_entry(*LAUNCHING, "ready", "stopped", task_arn="d"),
    ]
    assert describe(entries, 112.0) == "sandboxes: 2 starting (12 s), 1 running"
    assert describe(entries, 90.0) == "sandboxes: 2 starting (0 s), 1 running", "the clock was set back"


def test_it_tells_what_is_ready_for_nobody_yet_and_how_long_tests_wait() -> None:
    here = this_process()
    entries = [
        an_entry(*LAUNCHING, "shelved", task_arn="a"),
        an_entry(*LAUNCHING, "shelved", task_arn="b"),
        an_entry(*LAUNCHING, "shelved", "claimed", "ready", task_arn="c"),
        an_entry(*LAUNCHING, "ready", "kept", task_arn="d"),
        an_entry("waiting", t=105.0, **here),
        an_entry("waiting", **{**here, "pid_began": "its worker was killed"}),
        an_entry("waiting", "waited", **here),
    ]
    told = "sandboxes: 1 starting (12 s), 1 ready, 1 running"
    assert describe(entries, 112.0, {"b", "c"}) == f"{told}; 1 test waits (7 s)"
    assert describe(entries, 112.0, {"b", "c"}, "It is full") == f"{told}; 1 test waits (7 s): It is full"
    assert describe(entries[1:3], 112.0, {"b"}) == ""


def test_it_tells_of_images_being_built() -> None:
    entries = [an_entry("building"), an_entry("building", "built")]
    assert describe(entries, 112.0) == "sandboxes: images being built: 1, 0 running"


def test_it_tells_of_launches_that_are_refused_until_they_are_given_up() -> None:
    refused = ("opened", "launching", "refused", "launching")
    entries = [an_entry(*refused, refusal="ServerException"), an_entry(*refused, "given_up", refusal="ServerException")]
    assert describe(entries, 131.0) == "sandboxes: 1 refused for 31 s (ServerException), 0 running"


def test_it_says_nothing_when_nothing_is_starting() -> None:
    assert describe([an_entry(*LAUNCHING, "ready", task_arn="c")], 112.0) == ""
    assert describe([], 112.0) == ""

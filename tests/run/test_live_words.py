"""What the live line says, and that it says nothing where nothing is waited for."""

from __future__ import annotations

from pytest_fargate_sandbox.leaves.names import TAG_TEST, TAG_WORKER
from pytest_fargate_sandbox.leaves.printable import columns_of
from pytest_fargate_sandbox.records.ledger import Entry, this_process
from pytest_fargate_sandbox.run.live_words import Moment, describe, left_sec, worker_lines


def an_entry(*events: str, t: float = 100.0, **facts: object) -> Entry:
    times = dict.fromkeys(events, t)
    return Entry(str(facts.get("id", "id")), facts=dict(facts), events=list(events), times=times, latest=dict(times))


LAUNCHING = ("opened", "launching", "launched")


def test_it_tells_what_is_starting_and_for_how_long() -> None:
    entries = [
        an_entry(*LAUNCHING, task_arn="a"),
        an_entry(*LAUNCHING, task_arn="b", t=108.0),
        an_entry(*LAUNCHING, "ready", task_arn="c"),
        an_entry(*LAUNCHING, "ready", "stopped", task_arn="d"),
    ]
    assert describe(Moment(entries, 112.0)) == "sandboxes: 2 starting (12 s), 1 running"
    assert describe(Moment(entries, 90.0)) == "sandboxes: 2 starting (0 s), 1 running", "the clock was set back"


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
    told = "sandboxes: 1 starting (12 s, launch), 1 ready, 1 running"
    assert describe(Moment(entries, 112.0, {"b", "c"})) == f"{told}; 1 test waits (7 s)"
    assert describe(Moment(entries, 112.0, {"b", "c"}, "It is full")) == f"{told}; 1 test waits (7 s): It is full"
    assert describe(Moment(entries[1:3], 112.0, {"b"})) == ""


def test_it_tells_of_images_being_built() -> None:
    entries = [an_entry("building"), an_entry("building", "built")]
    assert describe(Moment(entries, 112.0)) == "sandboxes: 1 image builds (12 s), 0 running"


def test_it_tells_of_launches_that_are_refused_until_they_are_given_up() -> None:
    refused = ("opened", "launching", "refused", "launching")
    entries = [an_entry(*refused, refusal="ServerException"), an_entry(*refused, "given_up", refusal="ServerException")]
    assert describe(Moment(entries, 131.0)) == "sandboxes: 1 refused for 31 s (ServerException), 0 running"


def test_it_says_nothing_when_nothing_is_starting() -> None:
    assert describe(Moment([an_entry(*LAUNCHING, "ready", task_arn="c")], 112.0)) == ""
    assert describe(Moment([], 112.0)) == ""


def test_it_tells_the_phase_that_the_longest_start_is_in() -> None:
    entries = [an_entry(*LAUNCHING, "phase", task_arn="a", name="tunnel"), an_entry(*LAUNCHING, t=104.0, task_arn="b")]
    assert describe(Moment(entries, 112.0)) == "sandboxes: 2 starting (12 s, tunnel), 0 running"


def test_a_build_is_told_with_the_last_line_of_its_log_as_far_as_there_is_room() -> None:
    entries = [an_entry("building", "build", id="image-a"), an_entry("building", t=90.0, id="image-b")]
    moment = Moment(entries, 112.0, said={"image-a": "Step 3/7 : RUN \x1b[2Jmake \u202e all\r\n"}, left_sec=130.0)
    rest = "0 running; about 2 min left"
    assert describe(moment) == f"sandboxes: 2 images build (22 s: Step 3/7 : RUN \\x1b[2Jmake \\u202e all), {rest}"
    assert describe(moment, 80) == f"sandboxes: 2 images build (22 s: Step 3/7 : RUN \\…), {rest}"
    assert describe(moment, 70) == f"sandboxes: 2 images build (22 s), {rest}"
    assert describe(moment, 19) == "2 images build 22 s"


def test_it_never_takes_more_room_than_there_is() -> None:
    here = this_process()
    entries = [
        an_entry("building", "build", id="image-a"),
        an_entry("opened", "launching", "refused", "launching", refusal="容量がありません " * 5),
        an_entry(*LAUNCHING, task_arn="a"),
        *(an_entry("waiting", worker=f"gw{each}", test="測試" * 30, **here) for each in range(12)),
    ]
    moment = Moment(entries, 4000.0, (), "Is full", {"image-a": "編譯 " * 80}, 130.0)
    for columns in range(1, 120):
        lines = [describe(moment, columns), *worker_lines(moment, columns, 8)]
        assert len(lines) == 9
        assert [line for line in lines[:8] if not 0 < columns_of(line) <= columns] == [], columns


def test_each_worker_has_a_line() -> None:
    here = this_process()
    entries = [
        an_entry("waiting", worker="gw1", test="a.py::test_b", t=105.0, **here),
        an_entry(
            *LAUNCHING, "phase", task_arn="a", name="server", labels={TAG_WORKER: "gw1", TAG_TEST: "a.py::test_b"}
        ),
        an_entry(*LAUNCHING, "ready", task_arn="b", labels={TAG_WORKER: "gw10", TAG_TEST: "a.py::test_c"}),
        an_entry("waiting", worker="gw2", test="a.py::test_d", t=110.0, **here),
    ]
    moment = Moment(entries, 112.0)
    assert worker_lines(moment, 80, 8) == [
        "gw1: a.py::test_b: server (7 s)",
        "gw2: a.py::test_d: waits (2 s)",
        "gw10: a.py::test_c: runs (12 s)",
    ]
    assert worker_lines(moment, 80, 2)[1:] == ["and 2 workers more"]


def test_what_is_left_is_told_once_there_is_a_rate() -> None:
    assert left_sec(60.0, 2, 10) is None
    assert left_sec(60.0, 3, 9) == 120.0
    assert left_sec(60.0, 9, 9) is None

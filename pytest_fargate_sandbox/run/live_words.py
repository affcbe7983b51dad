"""What the live view says: what is waited for, for how long, and how much there is still to do."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import TAG_TEST, TAG_WORKER
from pytest_fargate_sandbox.leaves.printable import columns_of, one_line
from pytest_fargate_sandbox.leaves.times_in_words import span
from pytest_fargate_sandbox.records import standing as stands
from pytest_fargate_sandbox.records.standing import standing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pytest_fargate_sandbox.records.ledger import Entry, Ledger
    from pytest_fargate_sandbox.records.standing import Standing

_ASK_EVERY_SEC = 1.0
_WORTH_SHOWING = 12
"""Columns of a log's line."""
_SIGN_OF_A_RATE = 3
"""Tests that are over, before anything is said of how long the others will take."""

_STATES_OF_WORKERS = (
    *(stands.WAITING, stands.STARTING, stands.REFUSED, stands.LAUNCHING),
    *(stands.RUNNING, stands.SLOT),
)
Standings = list[tuple["Entry", "Standing"]]


@dataclass
class Moment:
    """What is known of a run right now."""

    entries: list[Entry]
    now: float
    ready: Collection[str] = ()
    """The ARNs of tasks that are known to run though nobody has taken them."""
    full: str = ""
    """What the account says where it has no room for more."""
    said: Mapping[str, str] = field(default_factory=dict)
    """The last line of what is being built, by the ids of entries."""
    left_sec: float | None = None
    """What the tests that have not run will take, at the rate of the others."""

    def __post_init__(self) -> None:
        self.standings: Standings = [(entry, found) for entry in self.entries if (found := standing(entry))]
        self._by_state: defaultdict[str, Standings] = defaultdict(list)
        for entry, found in self.standings:
            idle = found.state == stands.AHEAD and entry.task_arn in self.ready
            self._by_state["idle" if idle else found.state].append((entry, found))

    def at(self, *states: str) -> Standings:
        return [each for state in states for each in self._by_state[state]]

    def longest(self, found: Standings) -> float:
        """The clock of the machine may have been set back meanwhile."""
        return max(0.0, self.now - min(each.since for _, each in found)) if found else 0.0


def describe(moment: Moment, columns: int = 200) -> str:
    """``sandboxes: 3 starting (12 s, launch), 2 ready, 5 running; 1 test waits (8 s); about 2 min left``.

    Nothing when nothing is waited for; what has no room is left out, the least telling first.
    """
    building, waiting = moment.at(stands.BUILDING), moment.at(stands.WAITING)
    refused, starting = moment.at(stands.REFUSED), moment.at(stands.STARTING, stands.AHEAD)
    if not (building or refused or starting or waiting):
        return ""
    log = _log_line(moment, building)
    for said in (log, one_line(log, _room_for(moment, columns)), ""):
        line = "sandboxes: " + _whole(moment, said, moment.full)
        if columns_of(line) <= columns:
            return line
    for line in (_whole(moment, "", ""), "; ".join(_parts(moment, "", "")[:2])):
        if columns_of(line) <= columns:
            return line
    return one_line(_the_longest_wait(moment), columns)


def worker_lines(moment: Moment, columns: int, most: int) -> list[str]:
    """What each worker is at: ``gw0: tests/test_a.py::test_x: waits 8 s``."""
    lines = [
        one_line(f"{worker}: {_doing(moment, found)}", columns)
        for worker, found in sorted(_by_worker(moment).items(), key=lambda each: (len(each[0]), each[0]))
    ]
    return lines if len(lines) <= most else [*lines[: most - 1], f"and {len(lines) - most + 1} workers more"]


def left_sec(took: float, over: int, all_of_them: int) -> float | None:
    """How long the rest takes, if it goes on as it went; None while that says nothing."""
    return took / over * (all_of_them - over) if over >= _SIGN_OF_A_RATE and all_of_them > over else None


class OnTheShelf:
    """Which of the tasks that nobody has taken yet run by now. Only ECS knows, so whoever wants to tell has to ask."""

    def __init__(self, ledger: Ledger) -> None:
        from pytest_fargate_sandbox.run.run_tasks import RunTasks

        self._tasks = RunTasks(ledger)
        self._ready: set[str] = set()
        self._asks_next = 0.0

    def ready(self, entries: list[Entry]) -> set[str]:
        unknown = set(_idle_arns(entries)) - self._ready
        if unknown and time.monotonic() >= self._asks_next:
            described = self._tasks.described(unknown)
            self._ready |= {arn for arn, task in described.items() if task["lastStatus"] == "RUNNING"}
            self._asks_next = time.monotonic() + _ASK_EVERY_SEC
        return self._ready


def _idle_arns(entries: list[Entry]) -> Iterator[str]:
    for entry in entries:
        if entry.task_arn and entry.is_shelved and not entry.is_over:
            yield entry.task_arn


def _whole(moment: Moment, log: str, full: str) -> str:
    return "; ".join(_parts(moment, log, full))


def _parts(moment: Moment, log: str, full: str) -> list[str]:
    parts = [_sandboxes(moment, log)]
    waiting = moment.at(stands.WAITING)
    if waiting:
        parts.append(f"{_tests(waiting)} ({_seconds(moment.longest(waiting))}){full and f': {full}'}")
    if moment.left_sec is not None:
        parts.append(f"about {_roughly(moment.left_sec)} left")
    return parts


def _sandboxes(moment: Moment, log: str) -> str:
    told = []
    building, refused = moment.at(stands.BUILDING), moment.at(stands.REFUSED)
    starting, idle = moment.at(stands.STARTING, stands.AHEAD), moment.at("idle")
    if building:
        told.append(f"{_images(building)} ({_seconds(moment.longest(building))}{log and f': {log}'})")
    if refused:
        why = str(refused[-1][0].facts.get("refusal"))
        told.append(f"{len(refused)} refused for {_seconds(moment.longest(refused))} ({one_line(why, 100)})")
    if starting:
        phase = min(starting, key=lambda each: each[1].since)[1].phase
        told.append(f"{len(starting)} starting ({_seconds(moment.longest(starting))}{phase and f', {phase}'})")
    told += [f"{len(idle)} ready"] if idle else []
    told.append(f"{len(moment.at(stands.RUNNING))} running")
    return ", ".join(told)


def _log_line(moment: Moment, building: Standings) -> str:
    """Of the build that takes the longest of those that say anything."""
    said = [(each.since, moment.said[entry.id]) for entry, each in building if entry.id in moment.said]
    return one_line(min(said)[1], 300) if said else ""


def _room_for(moment: Moment, columns: int) -> int:
    """For a log's line, with all the rest that is to be said."""
    room = columns - columns_of("sandboxes: " + _whole(moment, "x", moment.full)) + 1
    return room if room >= _WORTH_SHOWING else 0


def _the_longest_wait(moment: Moment) -> str:
    waiting, building = moment.at(stands.WAITING), moment.at(stands.BUILDING)
    if waiting:
        return f"{_tests(waiting)} {_seconds(moment.longest(waiting))}"
    if building:
        return f"{_images(building)} {_seconds(moment.longest(building))}"
    starting = moment.at(stands.STARTING, stands.AHEAD, stands.REFUSED)
    return f"{len(starting)} starting {_seconds(moment.longest(starting))}"


def _by_worker(moment: Moment) -> dict[str, Standings]:
    found: defaultdict[str, Standings] = defaultdict(list)
    for entry, stood in moment.at(*_STATES_OF_WORKERS):
        if entry.is_shared:  # by all of them
            continue
        worker = entry.facts.get("worker") or (entry.facts.get("labels") or {}).get(TAG_WORKER)
        if worker:
            found[str(worker)].append((entry, stood))
    return found


def _doing(moment: Moment, found: Standings) -> str:
    """What is waited for comes before what runs."""
    entry, stood = found[0]
    tests = entry.facts.get("tests") if stood.state == stands.SLOT else None
    test = str(entry.facts.get("test") or (entry.facts.get("labels") or {}).get(TAG_TEST) or (tests or ["a test"])[-1])
    starts = [each for _, each in found if each.phase]
    if starts and stood.state == stands.WAITING:
        return f"{test}: {starts[-1].phase} ({_seconds(moment.longest(found[:1]))})"
    word = {stands.WAITING: "waits", stands.RUNNING: "runs", stands.SLOT: "runs"}.get(stood.state, stood.phase)
    return f"{test}: {word} ({_seconds(max(0.0, moment.now - stood.since))})"


def _images(building: Standings) -> str:
    return "1 image builds" if len(building) == 1 else f"{len(building)} images build"


def _tests(waiting: Standings) -> str:
    return "1 test waits" if len(waiting) == 1 else f"{len(waiting)} tests wait"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s"


def _roughly(seconds: float) -> str:
    return f"{max(5, round(seconds / 5) * 5)} s" if seconds < 100 else span(seconds)

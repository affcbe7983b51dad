"""What a run knows of each kind of sandbox, and of all together, in the document that its processes share.

Times are ``time.monotonic``'s, which is one clock for all processes of a machine, and does not jump.
"""

from __future__ import annotations

import copy
import math
import time
from typing import Any

Document = dict[str, Any]

ALL = ""
"""The name of what is known of all kinds together."""
_FORGETS = 0.05
"""How much less earlier samples weigh with each new one."""
_REMEMBERED = 4.0
"""How many samples the last run is worth."""
_NOTHING: dict[str, Any] = {
    "claimed": 0,  # how many of those that the run is known to need somebody has asked for
    "waiting": {},  # by worker, how many tests wait for one that is launched ahead
    "looked": 0.0,  # when the control plane was last asked
    "first_at": None,  # when the first was launched ahead
    "launch": [0.0, 0.0],  # seconds from launches to tasks that run, and how many launches that were
    "busy": [0.0, 0.0],  # seconds between two that one worker asks for, its waits apart, and how many
    "got": {},  # by worker, when it last got one; None while it waits for the next
    "came_up": False,
    "open": False,  # whether nobody waits for a first one that shows whether the kind can come up
    "on_trial": None,  # the worker that starts the first one
    "died": 0,  # how many in a row before anybody had them
    "strikes": 0,  # against the kind, as ``kind_trial`` counts
    "problem": None,  # an error as plain values
    "told_by": None,  # the test that tells it in full
    "unbuilt": {},  # what was told last of an image that could not be built, and by which test
}


class Notes(dict[str, Any]):
    """What is not written down is as in the beginning: with a kind for each test there are many of these."""

    def __missing__(self, name: str) -> Any:
        return copy.copy(_NOTHING[name])


class KindNotes:
    """``last_run`` is what ``learnt`` said at its end; or anything, for somebody may have spoilt it."""

    def __init__(self, last_run: Any = None) -> None:
        self._last_run = last_run if isinstance(last_run, dict) else {}

    def of(self, document: Document, kind: str) -> Notes:
        """To be changed; the same object each time, as long as the document is."""
        kinds = document.setdefault("kinds", {})
        if not isinstance(kinds.get(kind), Notes):
            kinds[kind] = self.seen(document, kind)
        notes: Notes = kinds[kind]
        return notes

    def seen(self, document: Document, kind: str) -> Notes:
        """To be read."""
        written = document.get("kinds", {}).get(kind)
        return self._remembered(kind) if written is None else Notes(written)

    def _remembered(self, kind: str) -> Notes:
        notes, times = Notes(), self._last_run.get(kind)
        for what in ("launch", "busy"):
            seconds = times.get(what) if isinstance(times, dict) else None
            if isinstance(seconds, (int, float)) and 0 < seconds < math.inf:
                notes[what] = [seconds * _REMEMBERED, _REMEMBERED]
                notes["open"] = True  # it came up
        return notes

    def note_claim(self, document: Document, kind: str, worker: str) -> None:
        """Of a sandbox that the run was known to need."""
        for notes in self._its_own_and_all(document, kind):
            notes["claimed"] += 1
            got_at = notes["got"].get(worker)
            if got_at is not None:
                _learn(notes, "busy", time.monotonic() - got_at)
                notes["got"] = {**notes["got"], worker: None}

    def note_got(self, document: Document, kind: str, worker: str) -> None:
        for notes in self._its_own_and_all(document, kind):
            notes["got"] = {**notes["got"], worker: time.monotonic()}

    def note_lasting(self, document: Document, kind: str, worker: str) -> None:
        """What it got is for many tests: when it wants the next one says nothing about a test."""
        for notes in self._its_own_and_all(document, kind):
            notes["got"] = {**notes["got"], worker: None}

    def note_launching(self, document: Document, kind: str) -> None:
        for notes in self._its_own_and_all(document, kind):
            notes["first_at"] = notes["first_at"] or time.monotonic()

    def note_launch(self, document: Document, kind: str, seconds: float) -> None:
        for notes in self._its_own_and_all(document, kind):
            _learn(notes, "launch", seconds)

    def _its_own_and_all(self, document: Document, kind: str) -> tuple[Notes, Notes]:
        return self.of(document, kind), self.of(document, ALL)


def _learn(notes: Notes, what: str, seconds: float) -> None:
    total, count = notes[what]
    notes[what] = [total * (1 - _FORGETS) + seconds, count * (1 - _FORGETS) + 1]


def launch_sec(notes: Notes) -> float:
    """How long a launch takes. Until the first has come up, at least as long as that one has been under way."""
    total, count = notes["launch"]
    if count:
        return float(total / count)
    return time.monotonic() - notes["first_at"] if notes["first_at"] is not None else 0.0


def busy_sec(notes: Notes) -> float | None:
    """How long a worker is busy with one, by all the time that they were and are: the first to end are the shortest."""
    total, count = notes["busy"]
    under_way = sum(time.monotonic() - since for since in notes["got"].values() if since is not None)
    return float(total + under_way) / count if count else None


def learnt(document: Document) -> dict[str, dict[str, float]]:
    """By kind, what the next run wants to know."""
    kinds = {kind: Notes(notes) for kind, notes in document.get("kinds", {}).items()}
    return {
        kind: {what: round(notes[what][0] / notes[what][1], 3) for what in ("launch", "busy") if notes[what][1]}
        for kind, notes in kinds.items()
        if notes["came_up"] or kind == ALL
    }


def forget_worker(document: Document, worker: str) -> None:
    """It crashed: it waits for nothing, and has nothing on trial."""
    for notes in document.get("kinds", {}).values():
        notes.get("waiting", {}).pop(worker, None)
        notes.get("got", {}).pop(worker, None)
        if notes.get("on_trial") == worker:
            notes["on_trial"] = None

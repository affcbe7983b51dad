"""Sandboxes launched ahead of need, by kind, on a shelf that all processes of a run share.

A prelaunched sandbox is a task that was asked for and an ARN in the run's shared document, no more: whoever needs
one of its kind takes the first that runs, and connects. Nothing secret is on the shelf, since every worker can derive
a task's keys from what the run gave it. So no process waits for another, and a worker that dies leaves what it
prelaunched to the others.
"""

from __future__ import annotations

import math
import time
from itertools import islice
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.run import kind_trial
from pytest_fargate_sandbox.run.bound import HELD, SHELF, is_in_the_way, shelf, spare, waiting
from pytest_fargate_sandbox.sandbox.task.launched_ahead import LaunchedAhead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fargate_sandbox.leaves.errors import SandboxError
    from pytest_fargate_sandbox.leaves.shared_state import SharedState
    from pytest_fargate_sandbox.run.bound import Description, Row, Tasks
    from pytest_fargate_sandbox.run.kind_notes import Document, KindNotes, Notes
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec
    from pytest_fargate_sandbox.run.shelf_filler import ShelfFiller

_LOOK_SEC = 0.25
"""How often the control plane is asked, by all processes together, what runs by now."""
_FRESH_SEC = 4 * _LOOK_SEC
"""How long what was said of a task holds: what has died on the shelf since is not to be handed out."""
_TRIAL_SEC = 120.0
"""How long at most to wait for the first of a kind; no registry takes longer to say that it has no such image."""


class Shelf:
    """``plan`` says what the run will need, ``claim`` takes a sandbox; ``filler`` keeps the shelf full meanwhile."""

    def __init__(
        self, state: SharedState, kinds: KindNotes, *, worker: str, tasks: Tasks, filler: ShelfFiller | None = None
    ) -> None:
        self._state, self._kinds, self._worker, self._tasks, self._filler = state, kinds, worker, tasks, filler
        self._planned: set[str] = set()

    def plan(self, spec: SandboxSpec, places: Sequence[int]) -> None:
        """Where in the order of all that the run needs its sandboxes of this kind stand; every worker says the same."""
        self._planned.add(spec.kind)
        if spec.shareable and self._filler is not None:
            self._filler.fill(spec, places)

    def claim(self, spec: SandboxSpec, *, test: str, patience: float) -> LaunchedAhead | None:
        """The task of a sandbox that runs, or is about to; None: launch one yourself.

        Which of those that are starting runs first nobody knows, so all who wait for one of a kind wait for any.
        Raises what has kept its kind from coming up. Else ``came_up``, ``failed`` or ``gave_up`` has to be called.
        """
        if spec.kind in self._planned:
            with self._state.change() as document:
                self._kinds.note_claim(document, spec.kind, self._worker)
        self._wake_filler()
        deadline = time.monotonic() + _TRIAL_SEC
        rests = pauses(0.02, _LOOK_SEC)
        while True:
            with self._state.change() as document:
                step = self._next_step(document, spec, test, patient=time.monotonic() < deadline)
            if isinstance(step, Exception):
                raise step
            if step == "launch":
                return None
            if step == "wait":
                time.sleep(next(rests))
            elif step == "take":
                found = self._from_shelf(spec.kind, patience)
                if found is not None or self._kinds.seen(self._state.read(), spec.kind)["open"]:
                    return found

    def _next_step(self, document: Document, spec: SandboxSpec, test: str, *, patient: bool) -> str | SandboxError:
        notes = self._kinds.of(document, spec.kind)
        notes["open"] = notes["open"] or spec.needs_no_trial
        problem = kind_trial.problem(notes, test)
        if problem is not None:
            return problem
        if spare(document, spec.kind) > 0:
            notes["waiting"] = {**notes["waiting"], self._worker: notes["waiting"].get(self._worker, 0) + 1}
            return "take"
        if notes["open"]:
            return "launch"
        under_way = notes["on_trial"] or shelf(document, spec.kind)
        if patient and under_way and not is_in_the_way(document, self._worker, of=notes["on_trial"]):
            return "wait"
        notes["on_trial"] = self._worker
        return "launch"

    def _from_shelf(self, kind: str, patience: float) -> LaunchedAhead | None:
        try:
            return self._first_running(kind, patience)
        except BaseException:
            with self._state.change() as document:
                self._wait_no_more(self._kinds.of(document, kind))
            raise

    def _first_running(self, kind: str, patience: float) -> LaunchedAhead | None:
        deadline = time.monotonic() + patience
        rests = pauses(0.02, _LOOK_SEC)
        while True:
            with self._state.change() as document:
                rows = shelf(document, kind)
                late = time.monotonic() > deadline  # let its start tell what is wrong with it
                name = next((name for name, row in rows.items() if row["arn"] and (late or _runs(row))), None)
                if name is not None or spare(document, kind) < 0:
                    return self._taken(document, kind, name)
            self._look(kind)
            time.sleep(next(rests))

    def _taken(self, document: Document, kind: str, name: str | None) -> LaunchedAhead | None:
        notes = self._kinds.of(document, kind)
        self._wait_no_more(notes)
        if name is None:
            return None
        row = document["tasks"][name]
        row.update(role=HELD, worker=self._worker)
        self._kinds.note_got(document, kind, self._worker)
        if not notes["open"]:
            notes["on_trial"] = self._worker
        return LaunchedAhead(_description(row), launched_as=name, is_second=kind_trial.one_has_died(notes))

    def _wait_no_more(self, notes: Notes) -> None:
        left = {**notes["waiting"], self._worker: notes["waiting"].get(self._worker, 0) - 1}
        notes["waiting"] = {worker: count for worker, count in left.items() if count > 0}

    # --- what became of what was claimed ----------------------------------------------------------------------------

    def came_up(self, spec: SandboxSpec, *, launch_sec: float | None) -> None:
        """It takes commands. ``launch_sec``: how long its launch took, where it was not taken from the shelf."""
        with self._state.change() as document:
            kind_trial.came_up(self._kinds.of(document, spec.kind))
            if launch_sec is not None:
                self._kinds.note_launch(document, spec.kind, launch_sec)
                self._kinds.note_got(document, spec.kind, self._worker)
            if spec.slots:
                self._kinds.note_lasting(document, spec.kind, self._worker)
        self._wake_filler()

    def failed(self, spec: SandboxSpec, error: SandboxError, *, test: str, was_ahead: bool) -> SandboxError:
        """It did not come up; the error that the test is to tell. ``was_ahead``: nor did the one from the shelf."""
        if not spec.fares_as_its_kind:
            return error
        with self._state.change() as document:
            return kind_trial.failed(self._kinds.of(document, spec.kind), error, test, is_second=was_ahead)

    def not_built(self, spec: SandboxSpec, error: SandboxError, *, test: str) -> SandboxError:
        """Its image could not be; the error that the test is to tell."""
        with self._state.change() as document:
            return kind_trial.not_built(self._kinds.of(document, spec.kind), error, test)

    def gave_up(self, spec: SandboxSpec) -> None:
        """Nobody waits for it any more."""
        with self._state.change() as document:
            kind_trial.gave_up(self._kinds.of(document, spec.kind), self._worker)

    def _wake_filler(self) -> None:
        if self._filler is not None:
            self._filler.wake()

    def close(self) -> None:
        """Launch no more; what stands on the shelf stays there for the other workers."""
        if self._filler is not None:
            self._filler.close()

    # --- the control plane ------------------------------------------------------------------------------------------

    def _look(self, kind: str) -> None:
        """Ask what runs by now, and note it for all who wait; one process asks at a time."""
        with self._state.change() as document:
            notes = self._kinds.of(document, kind)
            now = time.monotonic()
            if now - notes["looked"] < _LOOK_SEC:
                return
            notes["looked"] = now
            arns = self._next_to_run(document, kind)
        described = self._tasks.described(arns) if arns else {}
        with self._state.change() as document:
            for arn, task in described.items():
                row = document["tasks"].get(arns[arn])
                if row is not None and row["role"] == SHELF:
                    self._seen(document, kind, arns[arn], task)
        self._wake_filler()

    def _seen(self, document: Document, kind: str, name: str, task: Description) -> None:
        notes, row = self._kinds.of(document, kind), document["tasks"][name]
        if task["lastStatus"] == "RUNNING":
            now = time.monotonic()
            if "running" not in row:  # it may have run for long, and ECS knows since when
                self._kinds.note_launch(document, kind, min(task.get("launchSec", math.inf), now - row["at"]))
            row.update(running=task, seen=now)
            notes.update(open=True, died=0)
        elif task["lastStatus"] == "STOPPED" and (notes["open"] or _has_another(document, kind, notes)):
            del document["tasks"][name]  # it died before anybody had it
            notes["died"] += 1
        elif task["lastStatus"] == "STOPPED":
            row.update(running=task, seen=time.monotonic())  # let its start tell what it died of

    @staticmethod
    def _next_to_run(document: Document, kind: str) -> dict[str, str]:
        """The names, by ARN, of those that were launched first: enough for all who wait even if half of them lag.

        To describe them all would cost ECS's time and ours for tasks that nobody wants yet.
        """
        asked = {row["arn"]: name for name, row in shelf(document, kind).items() if row["arn"] and not _runs(row)}
        return dict(islice(asked.items(), 2 * waiting(document, kind)))


def _has_another(document: Document, kind: str, notes: Notes) -> bool:
    """Whether one more of a kind on trial is under way, which will tell what they die of."""
    return bool(notes["on_trial"]) or len(shelf(document, kind)) > 1


def _runs(row: Row) -> bool:
    """Whether somebody has seen it run, a moment ago. All processes of a machine have the same monotonic clock."""
    return bool(row.get("running")) and time.monotonic() - row["seen"] < _FRESH_SEC


def _description(row: Row) -> Description:
    """Whoever takes it needs not ask again; the row itself is read by all, and soon small again."""
    described: Description | None = row.pop("running", None)
    return described or {"taskArn": row["arn"]}

"""Sandboxes launched ahead of need, by kind, on a shelf that all processes of a run share.

A prelaunched sandbox is a task that was asked for and an ARN in the run's shared document, no more: whoever needs
one of its kind takes the first that runs, and connects. Nothing secret is on the shelf, since every worker can derive
a task's keys from what the run gave it. So no process waits for another, and a worker that dies leaves what it
prelaunched to the others.
"""

from __future__ import annotations

import threading
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.run.bound import HELD, SHELF, shelf, spare, waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.run.bound import Description, Row, TaskBound, Tasks
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec
    from pytest_fargate_sandbox.run.shared_state import SharedState

_LAUNCH_CALL_SEC = 60.0
_LOOK_SEC = 0.25
"""How often the control plane is asked, by all processes together, what runs by now."""
_FRESH_SEC = 4 * _LOOK_SEC
"""How long what was said of a task holds: what has died on the shelf since is not to be handed out."""
_ROOM_SEC = 1.0
"""How often to look for room when the bound on tasks is reached."""


class Shelf:
    """``plan`` says what the run will need, ``claim`` takes a sandbox, and a thread keeps the shelf full meanwhile."""

    def __init__(
        self,
        state: SharedState,
        bound: TaskBound,
        *,
        ahead: int,
        worker: str,
        launch: Callable[[SandboxSpec, str], str],
        tasks: Tasks,
        new_id: Callable[[], str],
    ) -> None:
        self._state, self._bound, self._ahead, self._worker = state, bound, ahead, worker
        self._launch, self._tasks, self._new_id = launch, tasks, new_id
        self._specs: dict[str, SandboxSpec] = {}
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def plan(self, spec: SandboxSpec, count: int) -> None:
        """The whole run needs ``count`` sandboxes of this kind; every worker says the same."""
        if not self._ahead or not spec.shareable:
            return
        with self._state.change() as document:
            self._counts(document, spec.kind)["wanted"] = count
        self._specs[spec.kind] = spec
        self._fill()

    def claim(self, kind: str, *, patience: float) -> tuple[str, Description] | None:
        """The id of a sandbox that runs, or is about to, and what ECS says of it; None: launch one yourself.

        Which of those that are starting runs first nobody knows, so all who wait for one of a kind wait for any.
        """
        with self._state.change() as document:
            counts = self._counts(document, kind)
            counts["claimed"] += 1
            if spare(document, kind) <= 0:
                return None
            counts["waiting"][self._worker] = counts["waiting"].get(self._worker, 0) + 1
        self._fill()
        try:
            return self._first_running(kind, patience)
        except BaseException:
            with self._state.change() as document:
                self._wait_no_more(document, kind)
            raise

    def _first_running(self, kind: str, patience: float) -> tuple[str, Description] | None:
        deadline = time.monotonic() + patience
        rests = pauses(0.02, _LOOK_SEC)
        while True:
            with self._state.change() as document:
                rows = shelf(document, kind)
                late = time.monotonic() > deadline  # let its start tell what is wrong with it
                name = next((name for name, row in rows.items() if row["arn"] and (late or _runs(row))), None)
                if name is not None:
                    rows[name].update(role=HELD, worker=self._worker)
                if name is not None or spare(document, kind) < 0:
                    self._wait_no_more(document, kind)
                    return (name, _description(rows[name])) if name is not None else None
            self._look(kind)
            time.sleep(next(rests))

    def _wait_no_more(self, document: dict[str, Any], kind: str) -> None:
        waiting = self._counts(document, kind)["waiting"]
        if waiting.get(self._worker, 0) > 1:
            waiting[self._worker] -= 1
        else:
            waiting.pop(self._worker, None)

    def _look(self, kind: str) -> None:
        """Ask what runs by now, and note it for all who wait; one process asks at a time."""
        with self._state.change() as document:
            counts = self._counts(document, kind)
            now = time.monotonic()
            if now - counts["looked"] < _LOOK_SEC:
                return
            counts["looked"] = now
            arns = self._next_to_run(document, kind)
        described = self._tasks.described(arns) if arns else {}
        with self._state.change() as document:
            for arn, task in described.items():
                row = document["tasks"].get(arns[arn])
                if row is not None and row["role"] == SHELF and task["lastStatus"] == "RUNNING":
                    row.update(running=task, seen=time.monotonic())
                elif row is not None and row["role"] == SHELF and task["lastStatus"] == "STOPPED":
                    del document["tasks"][arns[arn]]  # it died before anybody had it

    @staticmethod
    def _next_to_run(document: dict[str, Any], kind: str) -> dict[str, str]:
        """The names, by ARN, of those that were launched first: enough for all who wait even if half of them lag.

        To describe them all would cost ECS's time and ours for tasks that nobody wants yet.
        """
        starting = {row["arn"]: name for name, row in shelf(document, kind).items() if row["arn"] and not _runs(row)}
        return dict(islice(starting.items(), 2 * waiting(document, kind)))

    def close(self) -> None:
        """Launch no more; what stands on the shelf stays there for the other workers."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=_LAUNCH_CALL_SEC)

    def _counts(self, document: dict[str, Any], kind: str) -> dict[str, Any]:
        nothing = {"wanted": 0, "claimed": 0, "waiting": {}, "looked": 0.0}
        counts: dict[str, Any] = document.setdefault("kinds", {}).setdefault(kind, nothing)
        return counts

    def _fill(self) -> None:
        self._wake.set()
        if self._thread is None and not self._closed and self._specs:
            self._thread = threading.Thread(target=self._run, name="fargate-prelaunch", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        try:
            self._keep_full()
        except Exception:  # after the end, what a launch under way meets is nobody's: its directory may be gone
            if not self._closed:
                raise

    def _keep_full(self) -> None:
        while not self._closed:
            self._wake.clear()
            for kind in list(self._specs):
                while not self._closed and self._launch_one(kind):
                    pass
            if self._bound.has_room_ahead(self._state.read()):
                self._wake.wait()
            elif not self._wake.wait(_ROOM_SEC):
                self._bound.forget_stopped()

    def _launch_one(self, kind: str) -> bool:
        task_id = self._reserve(kind)
        if task_id is None:
            return False
        try:
            arn = self._launch(self._specs[kind], task_id)
        except SandboxError:
            # The test that needs one launches it itself and has the error to tell; trying on here helps nobody.
            self._bound.stopping(task_id)
            del self._specs[kind]
            return False
        if not self._bound.launched(task_id, arn):
            self._tasks.stop(arn)
        return True

    def _reserve(self, kind: str) -> str | None:
        """A row for one more, if the shelf is short, the run still needs it and there is room."""
        with self._state.change() as document:
            counts = self._counts(document, kind)
            ready = spare(document, kind)
            needed = counts["wanted"] - counts["claimed"] - ready
            if ready >= self._ahead or needed <= 0 or not self._bound.has_room_ahead(document):
                return None
            task_id = self._new_id()
            row = {"kind": kind, "worker": self._worker, "role": SHELF, "arn": None}
            document.setdefault("tasks", {})[task_id] = row
            return task_id


def _runs(row: Row) -> bool:
    """Whether somebody has seen it run, a moment ago. All processes of a machine have the same monotonic clock."""
    return bool(row.get("running")) and time.monotonic() - row["seen"] < _FRESH_SEC


def _description(row: Row) -> Description:
    """Whoever takes it needs not ask again; the row itself is read by all, and soon small again."""
    described: Description | None = row.pop("running", None)
    return described or {"taskArn": row["arn"]}

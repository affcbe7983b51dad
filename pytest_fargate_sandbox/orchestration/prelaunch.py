"""Sandboxes launched ahead of need, by kind, on a shelf that all processes of a run share.

A prelaunched sandbox is a task that was asked for and an ARN in the run's shared document, no more: whoever needs
one of its kind takes the row and connects. Nothing secret is on the shelf, since every worker can derive a task's
keys from what the run gave it. So no process waits for another, any of them may clear the shelf, and a worker that
dies leaves what it prelaunched to the others.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until
from pytest_fargate_sandbox.orchestration.bound import HELD, SHELF, STOPPING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.orchestration.bound import TaskBound
    from pytest_fargate_sandbox.orchestration.shared_state import SharedState
    from pytest_fargate_sandbox.orchestration.spec import SandboxSpec

_LAUNCH_CALL_SEC = 60.0
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
        stop: Callable[[str], None],
        new_id: Callable[[], str],
    ) -> None:
        self._state, self._bound, self._ahead, self._worker = state, bound, ahead, worker
        self._launch, self._stop, self._new_id = launch, stop, new_id
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

    def claim(self, kind: str) -> tuple[str, str] | None:
        """The id and ARN of a sandbox that is starting or has started; None: launch one yourself."""
        with self._state.change() as document:
            self._counts(document, kind)["claimed"] += 1
            rows = document.setdefault("tasks", {})
            task_id = _oldest(rows, kind)
            if task_id is None:
                return None
            rows[task_id].update(role=HELD, worker=self._worker)
            arn = rows[task_id]["arn"]
        self._fill()
        arn = arn or self._arn_of(task_id)
        return (task_id, arn) if arn else None

    def close(self) -> None:
        """Launch no more; what stands on the shelf stays there for the other workers."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=_LAUNCH_CALL_SEC)

    def clear(self) -> int:
        """Stop whatever nobody took. How many that were."""
        with self._state.change() as document:
            left = [row for row in document.get("tasks", {}).values() if row["role"] == SHELF and row["arn"]]
            for row in left:
                row["role"] = STOPPING
        for row in left:
            self._stop(row["arn"])
        return len(left)

    def _counts(self, document: dict[str, Any], kind: str) -> dict[str, int]:
        counts: dict[str, int] = document.setdefault("kinds", {}).setdefault(kind, {"wanted": 0, "claimed": 0})
        return counts

    def _arn_of(self, task_id: str) -> str | None:
        """The ARN of a task that another worker is launching; None when its launch failed."""

        def probe() -> str | None:
            row = self._state.read().get("tasks", {}).get(task_id)
            return "" if row is None else row["arn"]

        try:
            return wait_until(probe, deadline=_LAUNCH_CALL_SEC, what="the launch of a prelaunched task") or None
        except WaitTimeout:
            self._bound.stopping(task_id)
            return None

    def _fill(self) -> None:
        self._wake.set()
        if self._thread is None and not self._closed and self._specs:
            self._thread = threading.Thread(target=self._keep_full, name="fargate-prelaunch", daemon=True)
            self._thread.start()

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
            self._stop(arn)
        return True

    def _reserve(self, kind: str) -> str | None:
        """A row for one more, if the shelf is short, the run still needs it and there is room."""
        with self._state.change() as document:
            rows = document.setdefault("tasks", {})
            counts = self._counts(document, kind)
            ready = sum(1 for row in rows.values() if row["role"] == SHELF and row["kind"] == kind)
            needed = counts["wanted"] - counts["claimed"] - ready
            if ready >= self._ahead or needed <= 0 or not self._bound.has_room_ahead(document):
                return None
            task_id = self._new_id()
            rows[task_id] = {"kind": kind, "worker": self._worker, "role": SHELF, "arn": None}
            return task_id


def _oldest(rows: dict[str, dict[str, Any]], kind: str) -> str | None:
    """The row that was launched first; one whose ARN is not known yet only if there is no other."""
    shelf = [name for name, row in rows.items() if row["role"] == SHELF and row["kind"] == kind]
    return next((name for name in shelf if rows[name]["arn"]), shelf[0] if shelf else None)

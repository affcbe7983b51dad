"""Launches ahead of need, in a thread of its own in each worker, until as many are there as the run is to have."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.leaves.errors import SandboxError, StartError, StartTimeout
from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER, Cause
from pytest_fargate_sandbox.run import kind_trial
from pytest_fargate_sandbox.run.bound import SHELF, shelf, spare
from pytest_fargate_sandbox.run.kind_notes import ALL
from pytest_fargate_sandbox.run.stock import is_growing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_fargate_sandbox.leaves.shared_state import SharedState
    from pytest_fargate_sandbox.run.bound import TaskBound, Tasks
    from pytest_fargate_sandbox.run.kind_notes import Document, KindNotes
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec
    from pytest_fargate_sandbox.run.stock import Stock

_LAUNCH_CALL_SEC = 60.0
_GROWING_SEC = 0.25
"""How often to look whether there should be more by now, while the first ones start."""
_ROOM_SEC = 1.0
"""How often to look for room when the bound on tasks is reached."""
_ENOUGH_DEATHS = 3
"""So many in a row that died before anybody had them: the next is launched by who needs it, and tells of it."""
_REST_SEC = 15.0
"""How long to launch nothing ahead when the account had no room for it: those who need one come first."""
_GUESS_SEC = {True: 1.0, False: 30.0}
"""How long a test takes, as long as none has ended. Here a task that is launched too early costs nothing."""


class _Need(NamedTuple):
    spec: SandboxSpec
    places: Sequence[int]
    """Where in the order of all that the run needs these stand."""


class ShelfFiller:
    """``fill`` has a kind kept in stock from now on."""

    def __init__(
        self,
        state: SharedState,
        kinds: KindNotes,
        bound: TaskBound,
        *,
        stock: Stock,
        worker: str,
        launch: Callable[[SandboxSpec, str], str],
        tasks: Tasks,
        new_id: Callable[[], str],
    ) -> None:
        self._state, self._kinds, self._bound, self._stock, self._worker = state, kinds, bound, stock, worker
        self._launch, self._tasks, self._new_id = launch, tasks, new_id
        self._needs: dict[str, _Need] = {}
        self._wake = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def fill(self, spec: SandboxSpec, places: Sequence[int]) -> None:
        self._needs[spec.kind] = _Need(spec, places)
        self.wake()

    def wake(self) -> None:
        """Something has changed: look whether there should be more."""
        self._wake.set()
        if self._thread is None and not self._closed and self._needs:
            self._thread = threading.Thread(target=self._run, name="fargate-prelaunch", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=_LAUNCH_CALL_SEC)

    def _run(self) -> None:
        try:
            while True:
                self._wake.clear()
                if self._closed:  # looked for behind that, or the one call to wake of the end could be cleared away
                    return
                try:
                    self._fill()
                    self._wait()
                except StartTimeout:  # one that was stopped has the state: whoever needs a sandbox is told
                    self._wake.wait(_ROOM_SEC)
        except Exception:  # after the end, what a launch under way meets is nobody's: its directory may be gone
            if not self._closed:
                raise

    def _fill(self) -> None:
        document = self._state.read()  # of a hundred kinds few are short; only for those it is worth a lock
        for kind in [kind for kind in list(self._needs) if self._is_short(document, kind)]:
            while not self._closed and self._launch_one(kind):
                pass

    def _wait(self) -> None:
        document = self._state.read()
        if is_growing(self._kinds.seen(document, ALL)):
            self._wake.wait(_GROWING_SEC)
        elif _is_resting(document):
            self._wake.wait(_REST_SEC)
        elif self._bound.has_room_ahead(document):
            self._wake.wait()
        elif not self._wake.wait(_ROOM_SEC):
            self._bound.forget_stopped()

    def _launch_one(self, kind: str) -> bool:
        task_id = self._reserve(kind)
        if task_id is None:
            return False
        try:
            arn = self._launch(self._needs[kind].spec, task_id)
        except SandboxError as error:
            self._refused(kind, task_id, error)
            return False
        except BaseException:  # a fault of ours: nobody is to wait for what is not launched
            self._bound.stopping(task_id)
            raise
        if not self._bound.launched(task_id, arn):
            self._tasks.stop(arn)
        return True

    def _refused(self, kind: str, task_id: str, error: SandboxError) -> None:
        """What there was no room for may have some later; anything else a test has to tell, in its own launch."""
        is_full = isinstance(error, StartError) and error.cause == Cause.QUOTA
        if is_full:
            self._bound.refused(task_id, error.reason)
        else:
            self._bound.stopping(task_id)
        if is_full or (isinstance(error, StartError) and error.transient):
            rest(self._state)
        elif self._needs.pop(kind).spec.fares_as_its_kind:
            with self._state.change() as document:
                kind_trial.failed(self._kinds.of(document, kind), error, None)

    def _reserve(self, kind: str) -> str | None:
        """A row for one more, if the shelf is short and there is room."""
        with self._state.change() as document:
            may = not _is_resting(document) and self._bound.has_room_ahead(document)
            if not may or not self._is_short(document, kind):
                return None
            task_id = self._new_id()
            row = {"worker": self._worker, "role": SHELF, "arn": None, "at": time.monotonic()}
            row.update(self._needs[kind].spec.wants._asdict())
            document.setdefault("tasks", {})[task_id] = row
            self._kinds.note_launching(document, kind)
            return task_id

    def _is_short(self, document: Document, kind: str) -> bool:
        """Whether the run still needs more of it than there are, and soon."""
        notes, (spec, places) = self._kinds.seen(document, kind), self._needs[kind]
        left = len(places) - int(notes["claimed"])
        tried = kind_trial.tried(notes) + len(shelf(document, kind))
        on_trial = not (notes["open"] or spec.needs_no_trial) and tried >= kind_trial.ENOUGH
        if left <= 0 or on_trial or notes["died"] >= _ENOUGH_DEATHS or kind_trial.is_hopeless(notes):
            return False
        guess = _GUESS_SEC[spec.config.cluster == LOCAL_CLUSTER]
        wanted = self._stock.wanted(places, notes, self._kinds.seen(document, ALL), guess)
        return spare(document, kind) < min(wanted, left)


def rest(state: SharedState) -> None:
    """The account has no room now: launch nothing ahead for a while, in no process."""
    with state.change() as document:
        document["rests_until"] = time.monotonic() + _REST_SEC


def _is_resting(document: Document) -> bool:
    return time.monotonic() < float(document.get("rests_until", 0.0))

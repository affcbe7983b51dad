"""The bound on tasks alive at once, over all processes of a run, counted from RunTask until STOPPED.

The run's shared document holds a row for each task. Where there is no room, what is needed beats what is only
prelaunched; and where every task is held by a test that itself waits for one more, one of them is told so, instead
of all waiting forever. The same goes for the room that the account has, as far as it is known (``account_room``).
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pytest_fargate_sandbox.leaves.errors import ConfigError, StartError
from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.run import account_room, kind_notes, slot_book
from pytest_fargate_sandbox.sandbox.task.causes import judge_reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pytest_fargate_sandbox.leaves.shared_state import SharedState
    from pytest_fargate_sandbox.run.sandbox_spec import Wants

HELD = "held"
"""A test has it, or is launching it for itself."""
SHELF = "shelf"
"""Prelaunched, and nobody's yet; without an ARN it is being launched."""
STOPPING = "stopping"
"""StopTask was called; the task counts until it is STOPPED."""

_LONGEST_STOP_SEC = 150.0
"""Fargate kills what has not ended by itself after two minutes at most, and takes its network apart."""

_SOON_SEC = 1.0
"""How old news of an end may be, where somebody waits for it."""

_UNTOLD_SEC = 3.0
"""What was to stop so long ago, and was not told to, as ECS says, is told: who was about to may have been killed."""

Row = dict[str, Any]
Description = dict[str, Any]
"""What ECS says of a task, in its own words, as far as whoever takes the task over needs it."""


class Instead(NamedTuple):
    """What would do instead of a task, by the run's document: whether it is there, and whether it may come to be.

    For the latter it is told which workers wait: who does gives nothing away.
    """

    is_there: Callable[[dict[str, Any]], bool]
    may_come: Callable[[dict[str, Any], Collection[str]], bool]


NOTHING = Instead(lambda _document: False, lambda _document, _waiting: False)


class NoLongerNeeded(Exception):
    """Who waited for room can do without."""


class Tasks(Protocol):
    """What the bound asks of the control plane."""

    def stop(self, arn: str) -> None: ...

    def described(self, arns: Collection[str], *, within: float = ...) -> dict[str, Description]:
        """What ECS says of those that it knows; STOPPED for those that it does not.

        ``within``: how many seconds ago it may have said so, where calls are counted.
        """


class TaskBound:
    """Counts tasks; with ``limit`` None only the account's own room bounds them."""

    def __init__(
        self,
        state: SharedState,
        limit: int | None,
        worker: str,
        tasks: Tasks,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._state, self._limit, self._worker, self._tasks, self._sleep = state, limit, worker, tasks, sleep

    def admit(self, task_id: str, wants: Wants, *, patience: float = math.inf, instead: Instead = NOTHING) -> None:
        """Wait for room for a task that is needed now, and take it. First come, first served.

        Raises ``ConfigError`` or ``StartError`` where there will be none, or was none for ``patience`` seconds, and
        ``NoLongerNeeded`` once something else is there that would do.
        """
        deadline = time.monotonic() + patience
        try:
            for pause in pauses(0.02, 0.5):
                with self._state.change() as document:
                    if instead.is_there(document):
                        raise NoLongerNeeded
                    if self._take_room(document, task_id, wants, instead):
                        return
                    if time.monotonic() > deadline and account_room.is_known(document):
                        raise _no_room(document, f", and none came within {patience:.0f} s", transient=True)
                    evicted = _evict(document)
                if evicted:
                    self._tasks.stop(evicted)
                self.forget_stopped()
                self._sleep(pause)
        except BaseException as error:
            with self._state.change() as document:
                document.get("waiting", {}).pop(self._worker, None)
                if isinstance(error, StartError) and error.transient:
                    document.setdefault("gave_way", {})[self._worker] = len(self._held(document.get("tasks", {})))
            raise

    def _take_room(self, document: dict[str, Any], task_id: str, wants: Wants, instead: Instead) -> bool:
        rows: dict[str, Row] = document.setdefault("tasks", {})
        waiting: dict[str, int] = document.setdefault("waiting", {})
        waiting.setdefault(self._worker, 1)
        gave_way: dict[str, int] = document.setdefault("gave_way", {})
        more = gave_way.get(self._worker, 0)  # all that it needs is to be there, or it would have to give way again
        earlier = list(waiting)[: list(waiting).index(self._worker)]
        before = sum(1 for worker in earlier if worker not in gave_way)
        row = {**wants._asdict(), "worker": self._worker, "role": HELD, "arn": None}
        if self._limit is not None and self._limit - len(rows) <= before + more:
            problem = self._problem(rows, waiting, self._limit)
        elif account_room.is_known(document) and (before or not account_room.take(document, row, more)):
            problem = self._no_room_ever(document, rows, waiting)
        else:
            del waiting[self._worker]
            gave_way.pop(self._worker, None)
            rows[task_id] = row
            return True
        if problem and not instead.may_come(document, waiting):
            raise problem
        return False

    def refused(self, task_id: str, reason: str) -> bool:
        """The account has no room for this task. Whether it may have when one of the run's has ended."""
        with self._state.change() as document:
            document.setdefault("tasks", {}).pop(task_id, None)
            return account_room.learn(document, reason)

    def has_room_ahead(self, document: dict[str, Any]) -> bool:
        """Whether a task may be prelaunched without anybody going short who needs one."""
        if not account_room.may_be_ahead(document):
            return False
        return self._limit is None or len(document.get("tasks", {})) + len(document.get("waiting", {})) < self._limit

    def launched(self, task_id: str, arn: str) -> bool:
        """The task has its ARN. False: it is nobody's any more, so it has to be stopped again."""
        with self._state.change() as document:
            row = document["tasks"].get(task_id)
            if row is not None:
                row["arn"] = arn
                account_room.launched(document, row)
            return row is not None

    def stopping(self, task_id: str) -> None:
        """StopTask was called, or the launch failed: the row stays as long as there is a task to count."""
        with self._state.change() as document:
            self._leaves(document.setdefault("tasks", {}), task_id)

    def _leaves(self, rows: dict[str, Row], task_id: str) -> None:
        row, now = rows.get(task_id), time.monotonic()
        if row is None:
            return
        if row["arn"] is None:
            del rows[task_id]
        else:
            row.update(role=STOPPING, since=now)
        if self._limit is None:  # nobody may ever ask which of them have stopped
            for name in [name for name, row in rows.items() if now - row.get("since", now) > _LONGEST_STOP_SEC]:
                del rows[name]

    def _problem(self, rows: dict[str, Row], waiting: Collection[str], limit: int) -> Exception | None:
        held_here = len(self._held(rows))
        if held_here >= limit:
            return ConfigError(
                f"this test needs {held_here + 1} sandboxes at once, and the bound on tasks is {limit} "
                "(--fargate-max-tasks): raise the bound, or stop one sandbox before making the next",
                key="max_tasks", value=limit,
            )  # fmt: skip
        if len(rows) >= limit and self._must_give_way(rows, waiting):
            return StartError(
                f"all {limit} tasks that --fargate-max-tasks allows are held by tests that wait for one more; this one "
                "gives way: raise the bound, or hold fewer sandboxes in one test and session",
                phase="bound", cause=Cause.CAPACITY, transient=True,
            )  # fmt: skip
        return None

    def _no_room_ever(
        self, document: dict[str, Any], rows: dict[str, Row], waiting: Collection[str]
    ) -> StartError | None:
        """Of what is on its way out, or with a test that goes on, the end makes room."""
        if not rows or not self._must_give_way(rows, waiting):
            return None
        if len(self._held(rows)) == len(rows):
            return _no_room(document, f" beside the {len(rows)} that this test has", transient=False)
        why = f" beside the {len(rows)} of this run, all held by tests that wait for one more: this one gives way"
        return _no_room(document, why, transient=True)

    def _must_give_way(self, rows: dict[str, Row], waiting: Collection[str]) -> bool:
        """Whether no end will make room: then one that holds something is told so, or all, where none of them does."""
        if not all(_is_stuck(row, waiting) for row in rows.values()):
            return False
        holders = {holder for row in rows.values() for holder in _holders(row)}
        return self._worker in holders or holders.isdisjoint(waiting)

    def _held(self, rows: dict[str, Row]) -> list[Row]:
        """Those of this worker's test."""
        return [row for row in rows.values() if self._worker in _holders(row)]

    def forget_stopped(self) -> None:
        """Ask which of the tasks on their way out have come to their end, and count them no more."""
        rows = self._state.read().get("tasks", {})
        stopping = {row["arn"]: name for name, row in rows.items() if row["role"] == STOPPING}
        described = self._tasks.described(stopping, within=_SOON_SEC) if stopping else {}
        gone = [arn for arn, task in described.items() if task["lastStatus"] == "STOPPED"]
        if gone:
            with self._state.change() as document:
                for arn in gone:
                    document["tasks"].pop(stopping[arn], None)
        self._stop_untold([stopping[arn] for arn, task in described.items() if task.get("desiredStatus") == "RUNNING"])

    def _stop_untold(self, names: Collection[str]) -> None:
        now = time.monotonic()
        if not any(_is_untold(row, now) for name, row in self._state.read().get("tasks", {}).items() if name in names):
            return
        with self._state.change() as document:
            rows = document["tasks"]
            untold = [rows[name] for name in names if name in rows and _is_untold(rows[name], now)]
            for row in untold:
                row["since"] = now
        for row in untold:
            self._tasks.stop(row["arn"])


def _is_untold(row: Row, now: float) -> bool:
    return bool(row["role"] == STOPPING and now - row["since"] > _UNTOLD_SEC)


def _no_room(document: dict[str, Any], why: str, *, transient: bool) -> StartError:
    reason = account_room.reason(document)
    message = f"the account has no room for one more task{why} ({reason})\n{judge_reason(reason).remedy}"
    return StartError(message, phase="bound", cause=Cause.QUOTA, reason=reason, transient=transient)


def _evict(document: dict[str, Any]) -> str | None:
    """The ARN of a prelaunched task that has to go, if fewer are on their way out than are waited for."""
    rows: dict[str, Row] = document["tasks"]
    if sum(1 for row in rows.values() if row["role"] == STOPPING) >= len(document["waiting"]):
        return None
    for row in rows.values():
        if _is_spare(document, row):
            row.update(role=STOPPING, since=time.monotonic())
            return str(row["arn"])
    return None


def _is_spare(document: dict[str, Any], row: Row) -> bool:
    """Whether nobody needs it, or waits for it."""
    if row["role"] == slot_book.SHARED:
        return not row["tenants"]
    return row["role"] == SHELF and bool(row["arn"]) and spare(document, row["kind"]) > 0


def is_in_the_way(document: dict[str, Any], worker: str, *, of: str | None) -> bool:
    """Whether one worker waits for room, and the other has tasks: should that one wait for it, both might for ever."""
    holders = map(_holders, document.get("tasks", {}).values())
    return of in document.get("waiting", {}) and any(worker in each for each in holders)


def _holders(row: Row) -> list[str]:
    """The workers that have it, or a slot of it."""
    if row["role"] == slot_book.SHARED:
        return list(row["tenants"])
    return [row["worker"]] if row["role"] == HELD else []


def _is_stuck(row: Row, waiting: Collection[str]) -> bool:
    """Whether it is not let go of: who has it waits itself, or it is kept."""
    return any(holder in waiting or holder == slot_book.KEPT for holder in _holders(row))


def shelf(document: dict[str, Any], kind: str) -> dict[str, Row]:
    """The rows of prelaunched tasks of a kind."""
    rows: dict[str, Row] = document.get("tasks", {})
    return {name: row for name, row in rows.items() if row["role"] == SHELF and row["kind"] == kind}


def spare(document: dict[str, Any], kind: str) -> int:
    """How many prelaunched tasks of a kind there are beyond those that somebody waits for."""
    return len(shelf(document, kind)) - waiting(document, kind)


def waiting(document: dict[str, Any], kind: str) -> int:
    """How many tests wait for a prelaunched task of a kind."""
    return int(sum(document.get("kinds", {}).get(kind, {}).get("waiting", {}).values()))


def forget_worker(
    state: SharedState, worker: str, *, launched: Mapping[str, str], shelved: Collection[str]
) -> list[str]:
    """A worker crashed: it waits for nothing any more, and what it had is on its way out or was never launched.

    What it prelaunched is of use to any other worker, and stays, and so do machines whose slots all may have.
    ``launched`` are ARNs by ``task_id``, also of those that it had no time to tell here; ``shelved`` are those that are
    still to be had. Returns the ARNs of what is on its way out from now on, for nobody else may stop it.
    """
    out: list[str] = []
    with state.change() as document:
        for told in ("waiting", "gave_way"):
            document.get(told, {}).pop(worker, None)
        kind_notes.forget_worker(document, worker)
        slot_book.forget_worker(document, worker)
        rows: dict[str, Row] = document.get("tasks", {})
        for name, row in list(rows.items()):
            if row["worker"] != worker or row["role"] in (slot_book.SHARED, STOPPING):
                continue
            was_told = row["arn"] is not None
            row["arn"] = row["arn"] or launched.get(name.partition("+")[0])
            if row["arn"] is None:
                del rows[name]
            elif row["role"] != SHELF or not (was_told or row["arn"] in shelved):
                row.update(role=STOPPING, since=time.monotonic())
                out.append(row["arn"])
    return out

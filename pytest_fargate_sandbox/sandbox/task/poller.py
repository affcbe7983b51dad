"""One thread for each process and cluster asks ECS about all its tasks at once.

A task under launch is asked for every ``poll_interval_sec``, and seldom once it runs; since one call describes a
hundred tasks, whoever is due takes all others along, also those of other processes (``providers/aws/task_board.py``).
Where nobody counts calls, on an engine that has no limits, a task is asked for often at first. The last description of
each task is kept, so that the cause of a death is there even when ECS has forgotten the task. The thread ends when
nobody watches any more.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_fargate_sandbox.leaves.fargate_rules import MISSING_GRACE_SEC, TASKS_PER_DESCRIBE
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.aws.task_board import TaskBoard
from pytest_fargate_sandbox.sandbox.task.causes import ENGINE_ENDED, is_ending, is_over

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_fargate_sandbox.providers.aws.aws import Aws

T = TypeVar("T")

_FIRST_PAUSE = 0.02
_FRESH = 0.9
"""The part of a pause that news may be old: who is due a little later than another need not ask again."""
_RUNNING_PAUSE_SEC = 5.0
"""A task that runs is seldom asked for: whoever finds that it does not answer asks at once."""

_log = logging.getLogger("pytest_fargate_sandbox.poller")


class Watch:
    """The last that ECS said about one task, and a way to wait for more."""

    def __init__(self, task: dict[str, Any], longest_pause: float, *, steady: bool = False) -> None:
        """``steady``: asked for at even steps, as all that are asked for together, and not often at first."""
        self.task_arn = str(task["taskArn"])
        self.description: dict[str, Any] = {}
        self.error: AwsError | None = None
        """Why ECS does not tell us about the task, where asking again would not help."""
        self._changed = threading.Condition()
        self._began = time.monotonic()
        self._seen_at: dict[str, float] = {}
        self._on_ending: Callable[[], None] | None = None
        self._longest_pause = max(longest_pause, _FIRST_PAUSE)
        self._pauses = repeat(self._longest_pause) if steady else pauses(_FIRST_PAUSE, self._longest_pause)
        self.postpone()
        self.take(task)

    def on_ending(self, act: Callable[[], None]) -> None:
        """Have ``act`` called, in a thread of its own, when ECS says that the task ends; at once if it has said so."""
        with self._changed:
            self._on_ending = act
            already = self.ending
        if already:
            self._tell()

    def settle(self) -> None:
        """Whoever started it has what they waited for."""
        with self._changed:
            self._pauses = pauses(_RUNNING_PAUSE_SEC, _RUNNING_PAUSE_SEC)
            self.postpone()

    def postpone(self) -> None:
        with self._changed:  # the poller and whoever has news may come at the same moment
            self.pause = next(self._pauses)
            self.due = time.monotonic() + self.pause

    def told_at(self, moment: float) -> None:
        """News have their age when they come: who shares them with others asks again when all of them do."""
        self.due = max(moment + self.pause, time.monotonic() + _FIRST_PAUSE)

    @property
    def ending(self) -> bool:
        return is_ending(self.description)

    @property
    def over(self) -> bool:
        return is_over(self.description)

    def running_since(self, container: str) -> float | None:
        """When (``time.monotonic``) the container was first seen RUNNING or beyond."""
        return self._seen_at.get(container)

    def take(self, task: dict[str, Any]) -> None:
        """Note what ECS says now. A stopped task stays stopped, whatever a late answer says."""
        with self._changed:
            if self.over:
                return
            first_sign_of_end = is_ending(task) and not self.ending
            if task.get("lastStatus") == "RUNNING" != self.description.get("lastStatus"):
                self._pauses = pauses(self._longest_pause, max(self._longest_pause, _RUNNING_PAUSE_SEC))
                self.postpone()
            self.description, self.error = task, None
            for container in task.get("containers") or []:
                if container.get("lastStatus") in ("RUNNING", "STOPPED"):
                    self._seen_at.setdefault(str(container.get("name")), time.monotonic())
            self._changed.notify_all()
        if first_sign_of_end:
            self._tell()

    def _tell(self) -> None:
        act, self._on_ending = self._on_ending, None
        if act:
            threading.Thread(target=act, name="fargate-sandbox-ending", daemon=True).start()

    def take_missing(self) -> None:
        """ECS does not know the task: it is too young, or ECS has forgotten it."""
        if time.monotonic() - self._began > MISSING_GRACE_SEC:
            self._take_end(stoppedReason="ECS does not know the task any more (MISSING)")

    def take_end_of_engine(self, why: str) -> None:
        """There is no ECS any more, nor anything that it ran."""
        self._take_end(stopCode=ENGINE_ENDED, stoppedReason=why)

    def _take_end(self, **facts: str) -> None:
        self.take({**self.description, "lastStatus": "STOPPED", "desiredStatus": "STOPPED", **facts})

    def take_error(self, error: AwsError) -> None:
        with self._changed:
            self.error = error
            self._changed.notify_all()

    def wait(self, probe: Callable[[], T | None], seconds: float) -> T | None:
        """What ``probe`` returns, called again after each news of the task; None when the time is over."""
        with self._changed:
            return self._changed.wait_for(probe, seconds)


class Poller:
    """Describes the watched tasks of one cluster, in one thread of its own."""

    def __init__(self, aws: Aws, cluster: str) -> None:
        self._aws = aws
        self._cluster = cluster
        self._board = TaskBoard(aws, cluster)
        self._watches: dict[str, Watch] = {}
        self._news = threading.Condition()
        self._thread: threading.Thread | None = None
        self._answered = True
        self._silent_at = 0.0

    def watch(self, watch: Watch) -> None:
        with self._news:
            self._watches[watch.task_arn] = watch
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="fargate-sandbox-poller", daemon=True)
                self._thread.start()
            self._news.notify()

    def forget(self, watch: Watch) -> None:
        with self._news:
            self._watches.pop(watch.task_arn, None)
            self._news.notify()

    def ask_now(self, watch: Watch, within: float = 0.0) -> None:
        """Describe one task at once, in the caller's thread. Raises ``AwsError``."""
        self._describe([watch], within)

    @property
    def answered(self) -> bool:
        """Whether ECS answered when it was last asked."""
        return self._answered

    def _run(self) -> None:
        while watches := self._next_round():
            within = _FRESH * min(watch.pause for watch in watches)
            for watch in watches:
                watch.postpone()
            for first in range(0, len(watches), TASKS_PER_DESCRIBE):
                self._describe_calmly(watches[first : first + TASKS_PER_DESCRIBE], within)

    def _next_round(self) -> list[Watch]:
        """Wait until somebody is due; all that are watched then, or nobody when the thread is to end."""
        with self._news:
            while True:
                watches = [watch for watch in self._watches.values() if not watch.over]
                if not watches:
                    self._thread = None
                    return []
                left = min(watch.due for watch in watches) - time.monotonic()
                if left <= 0:
                    return watches
                self._news.wait(left)

    def _describe_calmly(self, watches: list[Watch], within: float) -> None:
        try:
            at = self._describe(watches, within)
            for watch in watches:
                watch.told_at(at)
        except AwsError as error:
            if not error.transient:
                for watch in watches:
                    watch.take_error(error)
        except Exception:  # whatever it is, those who wait for the next round must get it
            _log.exception("cannot ask ECS about %d tasks", len(watches))

    def _describe(self, watches: Iterable[Watch], within: float) -> float:
        by_arn = {watch.task_arn: watch for watch in watches}
        try:
            tasks, missing, at = self._board.described(list(by_arn), within=within)
        except AwsError as error:
            if error.gone:
                for watch in by_arn.values():
                    watch.take_end_of_engine(error.reason)
            else:
                self._note_silence(error)
            raise
        with self._news:  # an answer that was long on its way says nothing of an outage that began meanwhile
            self._answered = self._answered or at > self._silent_at
        for arn, task in tasks.items():
            by_arn[arn].take(task)
        for arn in missing:
            by_arn[arn].take_missing()
        return at

    def _note_silence(self, error: AwsError) -> None:
        """An outage lasts for many rounds, and is told once."""
        with self._news:  # pollers and askers may meet the same outage at the same moment
            level = logging.WARNING if self._answered else logging.DEBUG
            _log.log(level, "cannot ask ECS about the tasks of cluster %s: %s", self._cluster, error)
            self._answered, self._silent_at = False, time.monotonic()


_pollers: dict[tuple[int, Aws, str], Poller] = {}
_pollers_lock = threading.Lock()


def poller_for(aws: Aws, cluster: str) -> Poller:
    """The process's poller for that cluster."""
    with _pollers_lock:
        return _pollers.setdefault((os.getpid(), aws, cluster), Poller(aws, cluster))

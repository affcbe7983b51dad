"""Whatever ends this process short of SIGKILL, its tasks end first.

A handler runs in the middle of anything, so it shares no lock with what it interrupted: the calls are made in threads,
over connections of their own, and it waits for them only so long. After that comes whoever handled the signal before.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.side_by_side import side_by_side
from pytest_fargate_sandbox.sandbox.task.stopping import stop_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from pytest_fargate_sandbox.providers.aws.aws import Aws

_PATIENCE_SEC = 10.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""SIGHUP is a terminal that was closed, or a broken connection to it; under nohup it is ignored, and stays so."""


@dataclass(frozen=True)
class LiveTask:
    """A task that must not outlive this process, and whom to tell when it is stopped."""

    aws: Aws
    cluster: str
    arn: str
    on_stopped: Callable[[], None]
    is_ours: Callable[[], bool] = lambda: True
    """Asked in the end: another process may have taken it over."""
    launched: float = field(default_factory=time.time)


_live: dict[str, LiveTask] = {}
_guarding_pid: int | None = None
_previous: dict[int, Any] = {}


def guard(task: LiveTask) -> None:
    """Have ``task`` stopped when this process ends, until ``release``."""
    global _guarding_pid
    if _guarding_pid != os.getpid():  # a forked child does not answer for what its parent made
        _live.clear()
        if _guarding_pid is None:
            atexit.register(stop_live_tasks)
        _guarding_pid = os.getpid()
    _live[task.arn] = task
    watch_signals()


def release(arn: str) -> None:
    """The task is stopped, or is to outlive us."""
    _live.pop(arn, None)


def stop_live_tasks() -> None:
    """Stop all that is guarded, at once, and wait for ECS's answers for a limited time."""
    if _guarding_pid != os.getpid() or not _live:
        return
    tasks = list(_live.values())
    _live.clear()
    side_by_side([lambda: _stop_all(tasks)], seconds=_PATIENCE_SEC, name="fargate-sandbox-crash")


def _stop_all(tasks: list[LiveTask]) -> None:
    connections = {aws: aws.twin() for aws in {task.aws for task in tasks}}

    def stop(task: LiveTask) -> None:
        if task.is_ours() and stop_task(
            connections[task.aws], task.cluster, task.arn, "its process ended", launched=task.launched
        ):
            task.on_stopped()

    side_by_side([partial(stop, task) for task in tasks], seconds=_PATIENCE_SEC)


def watch_signals(*, but: int | None = None) -> None:
    """Handle these signals from now on, if this is the main thread: no other may. Done once.

    ``but``: one that somebody else answers, who ends what he has begun, or keeps it.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if number in _previous or number == but:
            continue
        current = signal.getsignal(number)
        if current is not signal.SIG_IGN and current is not None:  # None: somebody's handler in C, not ours to touch
            _previous[number] = current
            signal.signal(number, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    stop_live_tasks()
    previous = _previous.get(number, signal.SIG_DFL)
    if callable(previous):
        previous(number, frame)
    else:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

"""What ECS says of tasks, asked once for all processes of this user that want to know.

An account may ask 20 times a second, whoever asks (``local/ecs/account_limits.py`` has the links), and one call tells
of a hundred tasks. So what a process was told lies on a board for the others, and whoever asks takes along what the
others have asked for lately. The board lies with our notes on the account, which only this user can read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_fargate_sandbox.leaves.fargate_rules import TASKS_PER_DESCRIBE
from pytest_fargate_sandbox.leaves.process_identity import boot
from pytest_fargate_sandbox.leaves.shared_state import SharedState
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.aws.describe_tasks import describe_tasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fargate_sandbox.providers.aws.aws import Aws

_WANTED_SEC = 20.0
"""How long what somebody asked for is asked for by others too: longer than anybody who watches a task rests."""
_NO_BOARD = (OSError, ValueError, TypeError, KeyError, AttributeError)
"""A full disk, or a board that somebody has spoilt or that has another version's form, is no reason to know nothing."""
_ASKING_SEC = 5.0
"""How long one who asks is waited for: a call takes a fraction of a second, and he may have died."""

Board = dict[str, Any]


class Told(NamedTuple):
    """What was said, and at what moment (``time.monotonic``) that was asked for."""

    tasks: dict[str, dict[str, Any]]
    missing: list[str]
    at: float


class TaskBoard:
    """Describes tasks of one cluster. Threads and processes may ask at any time."""

    def __init__(self, aws: Aws, cluster: str) -> None:
        self._aws, self._cluster = aws, cluster

    def described(self, arns: Sequence[str], *, within: float) -> Told:
        """What ECS says of ``arns``, not earlier than ``within`` seconds ago. Raises ``AwsError``.

        ``within`` 0 asks at once, and waits for nobody.
        """
        if not self._aws.is_counted:
            return self._asked(arns)
        for pause in pauses(0.02, 0.2):
            try:
                with self._state.change() as board:
                    told, asks = _next_step(board, arns, within)
            except _NO_BOARD:
                return self._asked(arns)
            if told is not None:
                return told
            if asks:
                break
            time.sleep(pause)
        return self._asked_for_all(arns, asks)

    def _asked(self, arns: Sequence[str]) -> Told:
        at = time.monotonic()
        return Told(*describe_tasks(self._aws, self._cluster, arns), at)

    def _asked_for_all(self, arns: Sequence[str], asks: Sequence[str]) -> Told:
        told: Told | None = None
        try:
            told = self._asked(asks)
        finally:
            with contextlib.suppress(*_NO_BOARD), self._state.change() as board:
                board["asks_since"] = None
                if told is not None:
                    _note(board, told)
        wanted = set(arns)
        tasks = {arn: task for arn, task in told.tasks.items() if arn in wanted}
        return Told(tasks, [arn for arn in told.missing if arn in wanted], told.at)

    @cached_property
    def _state(self) -> SharedState:
        cluster = hashlib.sha256(self._cluster.encode()).hexdigest()[:16]
        directory = self._aws.notes("boards") / cluster
        directory.mkdir(mode=0o700, exist_ok=True)
        return SharedState(directory, longest_sec=_ASKING_SEC)


def _next_step(board: Board, arns: Sequence[str], within: float) -> tuple[Told | None, list[str]]:
    """What is known, or which ARNs to ask ECS for, or neither: somebody is asking."""
    if board.get("boot") != boot():  # of another machine, or another life of this one, the clock says nothing
        board.clear()
        board.update(boot=boot(), wanted={}, told={}, asks_since=None)
    now = time.monotonic()
    wanted, rows = board["wanted"], board["told"]
    wanted.update((arn, now) for arn in arns if now - wanted.get(arn, 0.0) > _WANTED_SEC / 4)
    known = {arn: rows[arn] for arn in arns if arn in rows and (rows[arn]["over"] or now - rows[arn]["at"] <= within)}
    if len(known) == len(arns):
        return _read(known, now), []
    if within and board["asks_since"] is not None and now - board["asks_since"] < _ASKING_SEC:
        return None, []
    board["asks_since"] = now
    for arn in [arn for arn, at in wanted.items() if now - at > _WANTED_SEC]:
        del wanted[arn]
        rows.pop(arn, None)
    others = [arn for arn in wanted if arn not in arns and not (arn in rows and rows[arn]["over"])]
    in_the_same_calls = -len(arns) % TASKS_PER_DESCRIBE
    return None, [*arns, *others[:in_the_same_calls]]


def _note(board: Board, told: Told) -> None:
    for arn, task in told.tasks.items():
        over = task.get("lastStatus") == "STOPPED"  # and stays so
        board["told"][arn] = {"at": told.at, "over": over, "task": json.dumps(task, default=_seconds)}
    for arn in told.missing:
        board["told"][arn] = {"at": told.at, "over": False, "task": None}


def _read(rows: dict[str, dict[str, Any]], now: float) -> Told:
    tasks = {arn: json.loads(row["task"], object_hook=_moments) for arn, row in rows.items() if row["task"]}
    at = min((row["at"] for row in rows.values() if not row["over"]), default=now)
    return Told(tasks, [arn for arn in rows if arn not in tasks], at)


def _seconds(moment: datetime) -> dict[str, float]:
    return {"seconds": moment.timestamp()}


def _moments(plain: dict[str, Any]) -> Any:
    return datetime.fromtimestamp(plain["seconds"], timezone.utc) if plain.keys() == {"seconds"} else plain

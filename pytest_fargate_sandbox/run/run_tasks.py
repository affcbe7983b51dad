"""The tasks of one run on the control plane, found by what the ledger says of them."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.fargate_rules import MISSING_GRACE_SEC
from pytest_fargate_sandbox.place.resolve_place import find_again
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.aws.task_board import TaskBoard
from pytest_fargate_sandbox.records.entries_by_place import EntriesAtPlace, by_place
from pytest_fargate_sandbox.sandbox.task.launched_task import launch_sec
from pytest_fargate_sandbox.sandbox.task.stopping import stop_task

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.records.ledger import Entry, Ledger
    from pytest_fargate_sandbox.run.bound import Description

_LOOK_SEC = 2.0
"""How old news may be where calls are counted, and are asked for by all processes together."""
_MATTERS = ("taskArn", "lastStatus", "desiredStatus", "attachments", "stopCode", "stoppedReason")
_OF_CONTAINERS = ("name", "lastStatus", "exitCode", "reason")
_GONE: Description = {"lastStatus": "STOPPED"}


class RunTasks:
    """Stops a task that nobody took, and tells what has become of others."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def stop(self, arn: str) -> None:
        entry = self._ledger.entry_of(arn)
        aws = find_again(entry.facts) if entry else None
        if entry and (aws is None or _stop(aws, entry, arn)):
            self._ledger.write(entry.id, "stopped", unused=True)

    def described(self, arns: Collection[str], *, within: float = _LOOK_SEC) -> dict[str, Description]:
        """What ECS says of those that it knows; STOPPED for those that it does not."""
        entries = {entry.task_arn: entry for entry in self._ledger.entries()}
        found = {arn: _GONE for arn in arns if arn not in entries}
        for place in by_place(entries[arn] for arn in arns if arn in entries):
            with contextlib.suppress(AwsError):  # asked again soon
                found.update(_described_at(place, within))
        return found


def _described_at(place: EntriesAtPlace, within: float) -> dict[str, Description]:
    entries, aws = place.by_arn, place.connect()
    if aws is None:
        return dict.fromkeys(entries, _GONE)
    tasks, missing, _ = TaskBoard(aws, place.cluster).described(list(entries), within=within)
    found = {arn: _what_matters(task) for arn, task in tasks.items()}
    return {**found, **{arn: _GONE for arn in missing if not _is_young(entries[arn])}}


def _stop(aws: Aws, entry: Entry, arn: str) -> bool:
    return stop_task(aws, entry.facts["cluster"], arn, "prelaunched, and not needed", launched=entry.launched_at)


def _is_young(entry: Entry) -> bool:
    return time.time() - entry.launched_at < MISSING_GRACE_SEC


def _what_matters(task: Mapping[str, Any]) -> Description:
    """Enough to take the task over, or to tell what it died of: a tenth of the whole, without what JSON cannot hold."""
    containers = [_picked(each, _OF_CONTAINERS) for each in task.get("containers") or []]
    took = launch_sec(task)
    known = {} if took is None else {"launchSec": took}
    return {**_picked(task, _MATTERS), **known, "containers": containers}


def _picked(whole: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: whole[key] for key in keys if whole.get(key) is not None}

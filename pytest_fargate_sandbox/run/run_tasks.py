"""The tasks of one run on the control plane, found by what the ledger says of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.fargate_rules import TASKS_PER_DESCRIBE
from pytest_fargate_sandbox.place.resolve_place import find_again
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.sandbox.task.launched_task import stop_task

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pytest_fargate_sandbox.records.ledger import Entry, Ledger
    from pytest_fargate_sandbox.run.bound import Description

_MISSING_GRACE_SEC = 60.0
"""ECS may not know a task yet that it has just made."""
_MATTERS = ("taskArn", "lastStatus", "desiredStatus", "attachments")
_GONE: Description = {"lastStatus": "STOPPED"}


class RunTasks:
    """Stops a task that nobody took, and tells what has become of others."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def stop(self, arn: str) -> None:
        entry = self._ledger.entry_of(arn)
        aws = find_again(entry.facts) if entry else None
        if entry and (aws is None or stop_task(aws, entry.facts["cluster"], arn, "prelaunched, and not needed")):
            self._ledger.write(entry.id, "stopped", unused=True)

    def described(self, arns: Collection[str]) -> dict[str, Description]:
        """What ECS says of those that it knows; STOPPED for those that it does not."""
        entries = {entry.task_arn: entry for entry in self._ledger.entries()}
        places: dict[tuple[str, str], list[str]] = {}
        for arn in arns:
            facts = entries[arn].facts if arn in entries else {}
            places.setdefault((str(facts.get("endpoint_url")), str(facts.get("cluster"))), []).append(arn)
        found: dict[str, Description] = {}
        for group in places.values():
            for first in range(0, len(group), TASKS_PER_DESCRIBE):
                some = group[first : first + TASKS_PER_DESCRIBE]
                found.update(self._described(entries.get(some[0]), some))
        return found

    @staticmethod
    def _described(entry: Entry | None, arns: list[str]) -> dict[str, Description]:
        aws = find_again(entry.facts) if entry else None
        if entry is None or aws is None:
            return dict.fromkeys(arns, _GONE)
        try:
            answer = aws.call("ecs", "DescribeTasks", cluster=entry.facts["cluster"], tasks=arns)
        except AwsError:
            return {}  # asked again soon
        young = time.time() - entry.times["launched"] < _MISSING_GRACE_SEC
        missing = [each["arn"] for each in answer.get("failures") or [] if each.get("reason") == "MISSING"]
        return {
            **{arn: _GONE for arn in missing if not young},
            **{task["taskArn"]: _what_matters(task) for task in answer.get("tasks") or []},
        }


def _what_matters(task: Mapping[str, Any]) -> Description:
    """Enough to take the task over: a tenth of the whole, and without what JSON cannot hold."""
    containers = [{key: each.get(key) for key in ("name", "lastStatus")} for each in task.get("containers") or []]
    return {**{key: task.get(key) for key in _MATTERS}, "containers": containers}

"""The tasks of one run on the control plane, found by what the ledger says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.fargate_rules import TASKS_PER_DESCRIBE
from pytest_fargate_sandbox.orchestration.target import find_again
from pytest_fargate_sandbox.providers.aws_errors import AwsError
from pytest_fargate_sandbox.sandbox.causes import is_over
from pytest_fargate_sandbox.sandbox.task import stop_task

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_fargate_sandbox.orchestration.ledger import Entry, Ledger


class RunTasks:
    """Stops a task that nobody took, and tells which tasks have come to their end."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def stop(self, arn: str) -> None:
        entry = self._ledger.entry_of(arn)
        aws = find_again(entry.facts) if entry else None
        if entry and (aws is None or stop_task(aws, entry.facts["cluster"], arn, "prelaunched, and not needed")):
            self._ledger.write(entry.id, "stopped", unused=True)

    def stopped(self, arns: Collection[str]) -> set[str]:
        """Those of ``arns`` that are STOPPED, or that nobody knows any more."""
        entries = {entry.task_arn: entry for entry in self._ledger.entries()}
        places: dict[tuple[str, str], list[str]] = {}
        for arn in arns:
            facts = entries[arn].facts if arn in entries else {}
            places.setdefault((str(facts.get("endpoint_url")), str(facts.get("cluster"))), []).append(arn)
        gone: set[str] = set()
        for group in places.values():
            for first in range(0, len(group), TASKS_PER_DESCRIBE):
                some = group[first : first + TASKS_PER_DESCRIBE]
                gone |= self._gone(entries.get(some[0]), some)
        return gone

    @staticmethod
    def _gone(entry: Entry | None, arns: list[str]) -> set[str]:
        aws = find_again(entry.facts) if entry else None
        if entry is None or aws is None:
            return set(arns)
        try:
            answer = aws.call("ecs", "DescribeTasks", cluster=entry.facts["cluster"], tasks=arns)
        except AwsError:
            return set()  # asked again soon
        missing = {failure["arn"] for failure in answer.get("failures") or [] if failure.get("reason") == "MISSING"}
        return missing | {task["taskArn"] for task in answer.get("tasks") or [] if is_over(task)}

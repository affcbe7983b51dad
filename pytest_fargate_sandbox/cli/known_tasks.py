"""The tasks that this user's runs have made and that may be alive, as the ledgers of this machine know them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.names import TAG_TEST
from pytest_fargate_sandbox.providers.aws.describe_tasks import describe_tasks
from pytest_fargate_sandbox.records.entries_by_place import by_place
from pytest_fargate_sandbox.records.kept_tasks import KeptTask, kept_tasks
from pytest_fargate_sandbox.records.ledger import Entry, Ledger, all_ledgers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pytest_fargate_sandbox.providers.aws.aws import Aws


@dataclass(frozen=True)
class KnownTask:
    """A task with its ledger entry; ``kept`` holds the keys, where it was kept."""

    ledger: Ledger
    entry: Entry
    aws: Aws
    description: dict[str, Any]
    kept: KeptTask | None

    @property
    def arn(self) -> str:
        return str(self.entry.task_arn)

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def name(self) -> str:
        return str(self.entry.facts.get("task_id", ""))

    @property
    def status(self) -> str:
        return str(self.description.get("lastStatus", "?"))

    @property
    def tests(self) -> list[str]:
        labels = self.entry.facts.get("labels") or {}
        return list(self.entry.facts.get("tests") or ([labels[TAG_TEST]] if TAG_TEST in labels else []))


def known_tasks() -> Iterator[KnownTask]:
    """Those that are not STOPPED; the keys of kept ones that are go with them. Raises ``AwsError``."""
    kept = {each.task_arn: each for each in kept_tasks()}
    for ledger in all_ledgers():
        alive = [entry for entry in ledger.entries() if entry.task_arn and (entry.is_kept or not entry.is_over)]
        for aws, cluster, group in by_place(alive):
            tasks, _ = describe_tasks(aws, cluster, list(group)) if aws else ({}, [])
            for arn, entry in group.items():
                if aws and arn in tasks and tasks[arn]["lastStatus"] != "STOPPED":
                    yield KnownTask(ledger, entry, aws, tasks[arn], kept.get(arn))
                elif arn in kept:
                    kept[arn].forget()


def find_task(wanted: str) -> KnownTask:
    """The one whose id or name begins like this. Raises ``SandboxError`` when there is none, or more than one."""
    found = [task for task in known_tasks() if task.id.startswith(wanted) or task.name.startswith(wanted)]
    exact = [task for task in found if wanted in (task.id, task.name, task.arn)]
    if len(exact) == 1 or len(found) == 1:
        return (exact or found)[0]
    if not found:
        raise SandboxError(f"no task that lives begins with {wanted!r}; `fargate-sandbox ps` lists them")
    raise SandboxError(f"{wanted!r} begins several tasks: {', '.join(task.id for task in found)}")


def take_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="a task's id or name, or how it begins, as `ps` shows it")

"""Ending one task by a person's wish, whichever run has it, or has kept it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.records.kept_tasks import kept_task
from pytest_fargate_sandbox.sandbox.task.stopping import stop_task

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.records.ledger import Ledger


def stop_by_hand(ledger: Ledger, arn: str, aws: Aws | None, cluster: str, reason: str) -> bool:
    """Whether it is stopped, or gone, with its whole place where there is no ``aws``; the keys of a kept one go too."""
    entry = ledger.entry_of(arn)
    launched = entry.launched_at if entry else 0.0
    if aws and not stop_task(aws, cluster, arn, reason, launched=launched):
        return False
    if entry:
        ledger.write(entry.id, "stopped", task_arn=arn)
    kept = kept_task(arn)
    if kept:
        kept.forget()
    return True

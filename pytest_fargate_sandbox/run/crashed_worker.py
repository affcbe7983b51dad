"""What a worker that was killed leaves behind in its run, wherever in a step that was: nothing is lost count of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.shared_state import SharedState
from pytest_fargate_sandbox.records.sweeping import sweep_worker
from pytest_fargate_sandbox.run.bound import forget_worker
from pytest_fargate_sandbox.run.run_tasks import RunTasks

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox.records.ledger import Ledger


def clear_up_behind(worker: str, ledger: Ledger, directory: Path) -> None:
    """Its tasks end but for those on the shelf; ``directory`` has the document that the run's processes share.

    The ledger's line of a launch comes before the document's, and that of a claim after it: so what the document does
    not know yet is learnt from the ledger, and what the ledger still has on the shelf is stopped by the document.
    """
    sweep_worker(ledger.run_id, worker)
    entries = ledger.entries()
    launched = {str(entry.facts["task_id"]): entry.task_arn for entry in entries if entry.task_arn}
    shelved = {entry.task_arn for entry in entries if entry.task_arn and entry.is_shelved and not entry.is_over}
    alive = {entry.task_arn for entry in entries if not entry.is_over}
    for arn in forget_worker(SharedState(directory), worker, launched=launched, shelved=shelved):
        if arn in alive:
            RunTasks(ledger).stop(arn)

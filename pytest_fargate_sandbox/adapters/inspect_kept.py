"""Sandboxes that outlive their samples: how a person gets in, and how they end."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread

from pytest_fargate_sandbox.adapters.inspect_specs import TAGS
from pytest_fargate_sandbox.place.resolve_place import find_again
from pytest_fargate_sandbox.records.kept_tasks import KeptTask, kept_tasks
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.records.stop_by_hand import stop_by_hand
from pytest_fargate_sandbox.records.sweeping import sweep_ledgers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fargate_sandbox.adapters.inspect_samples import SampleLease

_CLEAN_UP = "inspect sandbox cleanup fargate"


def way_in(task: str, *, user: str | None) -> str:
    """The command that opens a shell in it, while its sample runs and after."""
    name = "fargate-sandbox"
    beside = Path(sys.executable).with_name(name)
    program = str(beside) if shutil.which(name) is None and beside.exists() else name
    return shlex.join([program, "shell", *(["--user", user] if user else []), task])


def tell_of(kept: Iterable[SampleLease]) -> None:
    lines = [f"  sample {each.sample}, {each.name}: {way_in(each.task, user=each.user)}" for each in kept]
    if lines:
        print("\nFargate sandboxes that live on until their time is over, and how to get in:", *lines, sep="\n")
        print(f"End all of them: {_CLEAN_UP}\nEnd one of them: {_CLEAN_UP} {lines[0].rpartition(' ')[2]}\n")


async def clean_up(task: str | None) -> None:
    """What Inspect has kept, or that one; and what processes left that were killed."""
    await anyio.to_thread.run_sync(_clean_up, task)


def _clean_up(task: str | None) -> None:
    ours = [kept for kept in kept_tasks() if _is_ours(kept) and (task is None or kept.id.startswith(task))]
    for kept in ours:
        print(f"{kept.id} {'stopped' if _stop(kept) else 'could not be stopped'}")
    if task is None:
        swept = sweep_ledgers()
        for line in [*(f"{arn.rpartition('/')[2]} stopped" for arn in swept.stopped), *swept.left]:
            print(line)
    elif not ours:
        print(f"no sandbox of Inspect's was kept that is called {task}")


def _is_ours(kept: KeptTask) -> bool:
    return TAGS.items() <= (kept.cfg.get("tags") or {}).items()


def _stop(kept: KeptTask) -> bool:
    aws, cluster = find_again(kept.place), str(kept.place["cluster"])
    return stop_by_hand(Ledger(kept.run_id), kept.task_arn, aws, cluster, f"stopped by {_CLEAN_UP}")

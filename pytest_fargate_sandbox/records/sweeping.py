"""What others left: tasks of a process that died, and tasks past their time that their own clock did not end.

A sweep touches nothing but tasks of its own owner that are past the expiry on their tag, and tasks that stand in this
machine's ledgers under a process that is no more. Kept tasks are left alone until they expire.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from pytest_fargate_sandbox.leaves.fargate_rules import TASKS_PER_DESCRIBE
from pytest_fargate_sandbox.leaves.names import TAG_EXPIRES, TAG_LEDGER, TAG_OWNER, TAG_WORKER
from pytest_fargate_sandbox.place.resolve_place import find_again
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.records.ended_ledgers import Note, examine, is_deserted, read_notes, save_notes
from pytest_fargate_sandbox.records.ledger import Entry, Ledger, ledger_directory, ledger_paths
from pytest_fargate_sandbox.sandbox.task.launch import started_by
from pytest_fargate_sandbox.sandbox.task.launched_task import stop_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from pytest_fargate_sandbox.providers.aws.aws import Aws

_OLD_LEDGER_SEC = 7 * 24 * 3600
_DONE_LEDGER_SEC = 3600
_REASON = "swept: its process is gone"

_log = logging.getLogger("pytest_fargate_sandbox.sweep")


def sweep_ledgers(place: Mapping[str, Any] | None = None) -> list[str]:
    """Stop what dead processes of this machine left; the ARNs. Without any such it makes no call. Never raises.

    ``place`` (a place's facts) leaves other accounts and clusters alone, which may be out of reach today.
    """
    left = _look(place)
    if not left:
        return []
    try:
        with FileLock(ledger_directory() / "sweep.lock", timeout=0):
            return [arn for each in left for arn in _stop_entries(each, _left_by_dead(each.entries(), place))]
    except Timeout:
        return []  # another process is at it


def sweep_run(run_id: str) -> list[str]:
    """Stop all that a run has alive, whoever made it, but what is kept: for the one who ends the run."""
    ledger = Ledger(run_id)
    return _stop_entries(ledger, [entry for entry in ledger.entries() if not entry.is_over and not entry.is_kept])


def sweep_worker(run_id: str, worker: str) -> list[str]:
    """Stop what a worker that crashed had: all but what it had put on the run's shelf."""
    ledger = Ledger(run_id)
    entries = [entry for entry in ledger.entries() if (entry.facts.get("labels") or {}).get(TAG_WORKER) == worker]
    lost = [entry for entry in entries if not (entry.is_over or entry.is_kept or entry.is_shelved)]
    return _stop_entries(ledger, lost)


def clear_shelf(run_id: str) -> list[str]:
    """Stop what was prelaunched and never taken."""
    ledger = Ledger(run_id)
    return _stop_entries(ledger, [entry for entry in ledger.entries() if entry.is_shelved and not entry.is_over])


def sweep_expired(aws: Aws, cluster: str, owner: str) -> list[str]:
    """Stop the owner's tasks, from whatever machine, that are past the expiry on their tag. Raises ``AwsError``."""
    now = time.time()
    expired = [
        task["taskArn"]
        for task in owned_tasks(aws, cluster, owner)
        if float(tags_of(task).get(TAG_EXPIRES) or "inf") < now
    ]
    return [arn for arn in expired if stop_task(aws, cluster, arn, "swept: its time to live is over")]


def owned_tasks(aws: Aws, cluster: str, owner: str) -> list[dict[str, Any]]:
    """The owner's tasks that are not stopped, with their tags. Raises ``AwsError``."""
    found = []
    for arns in _listed(aws, cluster, owner):
        described = aws.call("ecs", "DescribeTasks", cluster=cluster, tasks=arns, include=["TAGS"])
        # startedBy is the owner's name as far as its alphabet goes; the tag is the whole of it.
        found += [task for task in described.get("tasks") or [] if tags_of(task).get(TAG_OWNER) == owner]
    return found


def tags_of(task: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in task.get("tags") or []}


def _listed(aws: Aws, cluster: str, owner: str) -> Iterator[list[str]]:
    page: dict[str, Any] = {}
    while True:
        answer = aws.call(
            "ecs", "ListTasks", cluster=cluster, startedBy=started_by(owner), maxResults=TASKS_PER_DESCRIBE, **page
        )
        if answer.get("taskArns"):
            yield answer["taskArns"]
        if not answer.get("nextToken"):
            return
        page = {"nextToken": answer["nextToken"]}


def _look(place: Mapping[str, Any] | None) -> list[Ledger]:
    """The ledgers in which dead processes left something. Of the others, what is over is noted, or dropped when old."""
    known = read_notes()
    notes, left = {}, []
    for path in ledger_paths():
        found = _look_at(path, known.get(path.name), place)
        if isinstance(found, Note):
            notes[path.name] = found
        elif found is not None:
            left.append(found)
    if notes != known:
        save_notes(notes)
    return left


def _look_at(path: Path, note: Note | None, place: Mapping[str, Any] | None) -> Ledger | Note | None:
    """The ledger, if the dead left something in it; else what is to be noted of it."""
    try:
        stat = path.stat()
        age = time.time() - stat.st_mtime
        if note and age > _DONE_LEDGER_SEC and not note.deserted:
            note = None  # its owners may have died since
        if note and note.holds_for(stat):
            is_done = note.deserted
        else:
            ledger, entries, note = examine(path, stat, note)
            if _left_by_dead(entries, place):
                return ledger
            is_done = is_deserted(entries) and all(entry.is_over or _has_expired(entry) for entry in entries)
        is_old = age > (_DONE_LEDGER_SEC if is_done else _OLD_LEDGER_SEC)  # it is wanted for a while when all is over
        if is_old and path.stat().st_size == stat.st_size:  # and nobody has just begun to use it again
            path.unlink()
            return None
    except FileNotFoundError:
        return None
    except Exception as error:
        _log.warning("%s cannot be read, and nothing of it be swept: %s", path, error)
        return None
    return note


def _left_by_dead(entries: list[Entry], place: Mapping[str, Any] | None) -> list[Entry]:
    alive = [entry for entry in entries if not (entry.is_over or entry.is_kept or _has_expired(entry))]
    return [entry for entry in alive if _concerns(entry, place) and not entry.owner_lives]


def _stop_entries(ledger: Ledger, entries: Iterable[Entry]) -> list[str]:
    stopped = []
    for entry in entries:
        if "cluster" not in entry.facts:
            continue  # the line that told where it was is lost
        try:
            arns = _stop_entry(entry)
        except AwsError as error:
            _log.warning("%s may still run, and cannot be swept: %s", entry.task_arn or entry.id, error)
            continue
        ledger.write(entry.id, "stopped", swept=True)
        stopped += arns
    return stopped


def _stop_entry(entry: Entry) -> list[str]:
    """The task that it stopped, if there was one to stop. Raises ``AwsError`` when it may still run."""
    aws = find_again(entry.facts)
    if aws is None:
        return []
    cluster = str(entry.facts["cluster"])
    arns = [entry.task_arn] if entry.task_arn and not entry.is_unnamed else _unnamed(aws, cluster, entry)
    return [arn for arn in arns if _was_running(aws, cluster, arn)]


def _was_running(aws: Aws, cluster: str, arn: str) -> bool:
    """Stop it; False where it was over already, or so long ago that ECS knows it no more. Raises ``AwsError``."""
    try:
        answer = aws.call("ecs", "StopTask", cluster=cluster, task=arn, reason=_REASON)
    except AwsError as error:
        if error.is_unknown_task:
            return False
        raise
    return bool(answer["task"]["lastStatus"] != "STOPPED")


def _unnamed(aws: Aws, cluster: str, entry: Entry) -> list[str]:
    """The launch was recorded and its answer was not: the entry's id is on the task, if there is one."""
    tasks = owned_tasks(aws, cluster, str(entry.facts["owner"]))
    return [task["taskArn"] for task in tasks if tags_of(task).get(TAG_LEDGER) == entry.id]


def _concerns(entry: Entry, place: Mapping[str, Any] | None) -> bool:
    """Whether the entry is of that place. A local engine is always near, and gone if it is not."""
    keys = ("cluster", "region", "endpoint_url")
    near = entry.facts.get("engine_directory")
    return place is None or bool(near) or all(entry.facts.get(key) == place.get(key) for key in keys)


def _has_expired(entry: Entry) -> bool:
    """Whether its own clock must have ended it long ago."""
    began = entry.times.get("launching", entry.times.get("launched", 0.0))
    return time.time() > began + float(entry.facts.get("ttl") or 0.0) + _DONE_LEDGER_SEC

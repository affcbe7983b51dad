"""What others left: tasks of a process that died, and tasks past their time that their own clock did not end.

A sweep touches nothing but tasks of its own owner that are past the expiry on their tag, and tasks that stand in this
machine's ledgers under a process that is no more. Kept tasks are left alone until they expire.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.fargate_rules import MISSING_GRACE_SEC, TASKS_PER_DESCRIBE
from pytest_fargate_sandbox.leaves.file_lock import FileLock, Timeout
from pytest_fargate_sandbox.leaves.names import TAG_EXPIRES, TAG_LEDGER, TAG_OWNER, TAG_WORKER
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.aws.describe_tasks import describe_tasks
from pytest_fargate_sandbox.records.ended_ledgers import (
    Note,
    compact,
    examine,
    has_outgrown,
    is_deserted,
    read_notes,
    remove_unless_grown,
    save_notes,
)
from pytest_fargate_sandbox.records.entries_by_place import EntriesAtPlace, at_each_place
from pytest_fargate_sandbox.records.ledger import Entry, Ledger, ledger_directory, ledger_paths
from pytest_fargate_sandbox.sandbox.task.launch import started_by, tag_text
from pytest_fargate_sandbox.sandbox.task.stopping import ask_to_stop, stop_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from pytest_fargate_sandbox.providers.aws.aws import Aws

_OLD_LEDGER_SEC = 7 * 24 * 3600
_DONE_LEDGER_SEC = 3600
_UNDER_WAY_SEC = 5.0
"""How long a RunTask may be on its way, or ECS be about it, after whoever sent it is gone."""
_REASON = "swept: its process is gone"

_log = logging.getLogger("pytest_fargate_sandbox.sweep")


class _NotShownYet(Exception):
    """What a launch has come to, ECS need not show so soon."""


@dataclass
class Swept:
    """``stopped`` are ARNs; ``left`` are sentences about what may still run, each with its place and the reason."""

    stopped: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def sweep_ledgers(
    place: Mapping[str, Any] | None = None, *, wait_sec: float = 0.0, seconds: float = math.inf, dry_run: bool = False
) -> Swept:
    """Stop what dead processes of this machine left. Without any such it makes no call. Never raises.

    ``place`` (a place's facts) leaves other accounts and clusters alone. One sweep runs at a time: ``wait_sec`` is for
    another's end, after which there is nothing to do. After ``seconds`` no stop is begun. With ``dry_run`` none is
    made, and ``stopped`` has what would be.
    """
    left = _look(place)
    if not left:
        return Swept()
    try:
        with FileLock(ledger_directory() / "sweep.lock", timeout=wait_sec):
            lost = [(ledger, entry) for ledger in left for entry in _left_by_dead(ledger.entries(), place)]
            return _stop_entries(lost, seconds, dry_run=dry_run)
    except Timeout:
        return Swept(left=["another process is sweeping, and takes long over it: try again later"])


def sweep_run(run_id: str) -> Swept:
    """Stop all that a run has alive, whoever made it, but what is kept: for the one who ends the run."""
    return _stop_of_run(run_id, lambda entry: not (entry.is_kept or entry.is_taken_over))


def sweep_worker(run_id: str, worker: str) -> Swept:
    """Stop what a worker that crashed had: all but what it had put on the run's shelf, or shared with others."""
    return _stop_of_run(
        run_id,
        lambda entry: (
            (entry.facts.get("labels") or {}).get(TAG_WORKER) == worker
            and not (entry.is_kept or entry.is_taken_over or entry.is_shelved or entry.is_shared)
        ),
    )


def clear_shelf(run_id: str) -> Swept:
    """Stop what was prelaunched and never taken."""
    return _stop_of_run(run_id, lambda entry: entry.is_shelved)


def sweep_expired(aws: Aws, cluster: str, owner: str, *, dry_run: bool = False) -> Swept:
    """Stop the owner's tasks, from whatever machine, that are past the expiry on their tag. Raises ``AwsError``."""
    now = time.time()
    expired = [
        task["taskArn"]
        for task in owned_tasks(aws, cluster, owner)
        if float(tags_of(task).get(TAG_EXPIRES) or "inf") < now
    ]
    swept = Swept()
    for arn in expired:
        if dry_run or stop_task(aws, cluster, arn, "swept: its time to live is over"):
            swept.stopped.append(arn)
        else:
            swept.left.append(f"{arn} is past its time, and could not be stopped")
    return swept


def owned_tasks(aws: Aws, cluster: str, owner: str) -> list[dict[str, Any]]:
    """The owner's tasks that are not stopped, with their tags. Raises ``AwsError``."""
    found = []
    for arns in _listed(aws, cluster, owner):
        described = aws.call("ecs", "DescribeTasks", cluster=cluster, tasks=arns, include=["TAGS"])
        # startedBy has less of the name, for its alphabet is smaller.
        found += [task for task in described.get("tasks") or [] if is_owned(task, owner)]
    return found


def is_owned(tagged: dict[str, Any], owner: str) -> bool:
    """Whether its tag says so, which has the owner's name as AWS takes it."""
    return tags_of(tagged).get(TAG_OWNER) == tag_text(owner)


def tags_of(tagged: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in tagged.get("tags") or []}


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
            if has_outgrown(note, stat):
                compact(path, older_than=_DONE_LEDGER_SEC)
                stat = path.stat()
            ledger, entries, note = examine(path, stat, note)
            if _left_by_dead(entries, place):
                return ledger
            is_done = is_deserted(entries) and all(entry.is_over or _has_expired(entry) for entry in entries)
        is_old = age > (_DONE_LEDGER_SEC if is_done else _OLD_LEDGER_SEC)  # it is wanted for a while when all is over
        if is_old and remove_unless_grown(path, stat):
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


def _stop_of_run(run_id: str, chosen: Callable[[Entry], bool]) -> Swept:
    ledger = Ledger(run_id)
    return _stop_entries([(ledger, entry) for entry in ledger.entries() if not entry.is_over and chosen(entry)])


def _stop_entries(
    entries: Iterable[tuple[Ledger, Entry]], seconds: float = math.inf, *, dry_run: bool = False
) -> Swept:
    ledgers = {id(entry): ledger for ledger, entry in entries}
    deadline = time.monotonic() + seconds
    swept = Swept()

    def stop_all(place: EntriesAtPlace) -> None:
        aws = place.connect()
        for number, entry in enumerate(place.entries):
            if time.monotonic() > deadline:
                swept.left.append(f"{len(place.entries) - number} tasks of {place.name} may still run: no time is left")
                return
            try:
                swept.stopped += _end_entry(aws, ledgers[id(entry)], entry, dry_run=dry_run)
            except AwsError as error:
                if error.is_silence:  # nor would it answer for the others
                    swept.left.append(_may_still_run(place.entries[number:], place, error))
                    return
                swept.left.append(_may_still_run([entry], place, error))
            except _NotShownYet:
                swept.left.append(
                    f"{entry.id} of {place.name} may still run: its launch was under way when its process ended, and "
                    "ECS takes up to a minute to show what came of it; sweep again then"
                )

    for place, outcome in at_each_place([entry for _, entry in entries], stop_all):
        if isinstance(outcome, AwsError):
            swept.left.append(_may_still_run(place.entries, place, outcome))
    for told in swept.left:
        _log.warning("%s", told)
    return swept


def _may_still_run(entries: list[Entry], place: EntriesAtPlace, error: AwsError) -> str:
    what = str(entries[0].task_arn or entries[0].id) if len(entries) == 1 else f"{len(entries)} tasks"
    return f"{what} of {place.name} may still run: {error.told_briefly}"


def _end_entry(aws: Aws | None, ledger: Ledger, entry: Entry, *, dry_run: bool) -> list[str]:
    """The task that was to stop, if there was one. Raises ``AwsError`` or ``_NotShownYet`` when it may still run."""
    cluster = str(entry.facts["cluster"])
    if aws and dry_run:
        return _alive(aws, cluster, _tasks_of(aws, entry))
    arns = _tasks_at_last(aws, ledger, entry) if aws else []
    if entry.is_unnamed:
        for arn in arns:
            ledger.write(entry.id, "launched", task_arn=arn)
    launched = entry.launched_at
    stopped = [arn for arn in arns if aws and ask_to_stop(aws, cluster, arn, _REASON, launched=launched)]
    if not dry_run:
        ledger.write(entry.id, "stopped", swept=True)
    return stopped


def _tasks_at_last(aws: Aws, ledger: Ledger, entry: Entry) -> list[str]:
    """Also of a launch that was on its way when its process died, once ECS has had the time to answer that."""
    deadline, rests = time.monotonic() + _UNDER_WAY_SEC, pauses(0.1, 1.0)
    while True:
        arns = _tasks_of(aws, entry)
        age = time.time() - entry.latest.get("launching", 0.0)
        if arns or not _is_under_way(entry) or age > MISSING_GRACE_SEC:
            return arns
        if age > _UNDER_WAY_SEC or time.monotonic() > deadline:
            if aws.is_counted:
                raise _NotShownYet
            return arns  # an engine shows what it has made
        time.sleep(next(rests))
        ledger.entries()  # whoever launches may live, and tell how it went


def _is_under_way(entry: Entry) -> bool:
    """Whether RunTask was called, and nobody has written down what it answered."""
    return entry.events[-1] == "launching"


def _alive(aws: Aws, cluster: str, arns: list[str]) -> list[str]:
    tasks, _ = describe_tasks(aws, cluster, arns)
    return [arn for arn, task in tasks.items() if task["desiredStatus"] != "STOPPED"]


def _tasks_of(aws: Aws, entry: Entry) -> list[str]:
    if entry.task_arn and not entry.is_unnamed:
        return [entry.task_arn]
    return _unnamed(aws, str(entry.facts["cluster"]), entry)


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

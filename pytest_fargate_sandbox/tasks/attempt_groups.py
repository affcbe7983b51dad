"""Attempts by task and agent, for whoever shows what they came to.

A task is known by its folder: two may have one name, and several files of tests may try one.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_fargate_sandbox.tasks.attempt_record import is_evaluable
from pytest_fargate_sandbox.tasks.task_folder import TASK_FILES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class AttemptGroup(NamedTuple):
    """All attempts of one agent at one task."""

    task: str
    """Its name; with its folder, where two tasks of the run have that name."""
    agent: str
    passed: int
    evaluable: int
    tries: int


def groups_of(records: Sequence[Mapping[str, Any]]) -> list[AttemptGroup]:
    """In the order in which they were begun. What was skipped is no attempt."""
    twice = folders_of_one_name(records)
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        if record["verdict"] != "skipped":
            groups.setdefault((record["task"], _folder(record), record["agent"]), []).append(record)
    return [
        AttemptGroup(
            f"{task} ({folder})" if task in twice else task,
            agent,
            sum(each["verdict"] == "pass" for each in group),
            sum(map(is_evaluable, group)),
            len(group),
        )
        for (task, folder, agent), group in groups.items()
    ]


def folders_of_one_name(records: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The folders of the tasks that share a name, by that name."""
    folders: dict[str, set[str]] = {}
    for record in records:
        folders.setdefault(record["task"], set()).add(_folder(record))
    return {name: sorted(found) for name, found in folders.items() if len(found) > 1}


def _folder(record: Mapping[str, Any]) -> str:
    """A record of an earlier release knows the file of its test alone."""
    file = PurePosixPath(record["test"].partition("::")[0])
    return str(record.get("folder") or (file.parent if file.name in TASK_FILES else file))

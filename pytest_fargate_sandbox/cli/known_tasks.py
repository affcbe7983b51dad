"""The tasks that this user's runs have made and that may be alive, as the ledgers of this machine know them."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.names import TAG_TEST
from pytest_fargate_sandbox.leaves.printable import printable_line
from pytest_fargate_sandbox.leaves.what_is_meant import meant_by
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.aws.describe_tasks import describe_tasks
from pytest_fargate_sandbox.records.entries_by_place import EntriesAtPlace, at_each_place
from pytest_fargate_sandbox.records.kept_tasks import KeptTask, kept_tasks
from pytest_fargate_sandbox.records.ledger import Entry, Ledger, all_ledgers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from pytest_fargate_sandbox.providers.aws.aws import Aws


_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U000([0-9a-f]{5}))")
_NAMED = 5
"""Of the tasks that somebody may mean who said too little."""


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
        return _tests(self.entry)

    def is_left_as(self, name: str) -> bool:
        """Whether runs of that name have it, or will."""
        return self.entry.is_left and self.entry.facts.get("reuse") == name

    def __str__(self) -> str:
        return f"{self.id} ({', '.join(self.tests) or self.name})"


@dataclass
class KnownTasks:
    """``alive`` are not STOPPED; ``silent`` are sentences about places that could not be asked about theirs."""

    alive: list[KnownTask] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def tell_of_silence(self) -> int:
        """On stderr; the exit code of a command that has done all the rest."""
        for sentence in self.silent:
            print(f"fargate-sandbox: {printable_line(sentence)}", file=sys.stderr)
        return 1 if self.silent else 0


def known_tasks(wanted: str = "") -> KnownTasks:
    """Those whose id, name or test begins with ``wanted``; the keys of kept ones that are over go with them."""
    kept = {each.task_arn: each for each in kept_tasks()}
    ledgers = {
        id(entry): (ledger, entry)
        for ledger in all_ledgers()
        for entry in ledger.entries()
        if entry.task_arn and (entry.is_kept or not entry.is_over) and meant_by(wanted, [entry], _names)
    }
    known = KnownTasks()
    for place, answer in at_each_place([entry for _, entry in ledgers.values()], _described_at):
        if isinstance(answer, AwsError):
            known.silent.append(f"{place.name} cannot be asked about {_count(place)}: {answer.told_briefly}")
            continue
        aws, tasks = answer
        for arn, entry in place.by_arn.items():
            if aws and arn in tasks and tasks[arn]["lastStatus"] != "STOPPED":
                known.alive.append(KnownTask(ledgers[id(entry)][0], entry, aws, tasks[arn], kept.get(arn)))
            elif arn in kept:
                kept[arn].forget()
    return known


def _described_at(place: EntriesAtPlace) -> tuple[Aws | None, dict[str, dict[str, Any]]]:
    aws = place.connect()
    return aws, describe_tasks(aws, place.cluster, list(place.by_arn))[0] if aws else {}


def _names(entry: Entry) -> Iterator[str]:
    """All that a user may call it by: of a test ``a/test_b.py::TestC::test_d[x]`` its parts from any point on as well.

    Without the parameters it is called by the function's name, as are those with others.
    """
    arn = str(entry.task_arn)
    yield from (arn.rpartition("/")[2], str(entry.facts.get("task_id", "")), arn)
    if entry.is_left:
        yield str(entry.facts["reuse"])
    for test in _tests(entry):
        called = test.partition("[")[0]
        for begin in (0, *(each.end() for each in re.finditer("/|::", called))):
            yield from {test[begin:]: None, called[begin:]: None, _as_it_reads(test[begin:]): None}


def _as_it_reads(test: str) -> str:
    """pytest writes ``[ü]`` as ``[\\xfc]``, in the ids of parameters."""
    return _ESCAPED.sub(lambda each: chr(int(each[each.lastindex or 0], 16)), test)


def _tests(entry: Entry) -> list[str]:
    labels = entry.facts.get("labels") or {}
    return list(entry.facts.get("tests") or ([labels[TAG_TEST]] if TAG_TEST in labels else []))


def _count(place: EntriesAtPlace) -> str:
    return "1 task" if len(place.entries) == 1 else f"{len(place.entries)} tasks"


def find_task(wanted: str) -> KnownTask:
    """The one whose id, name or test begins like this. Raises ``SandboxError`` when there is none, or more than one."""
    known = known_tasks(wanted)
    found = meant_by(wanted, known.alive, lambda task: _names(task.entry))
    if len(found) == 1:
        return found[0]
    if not found:
        sentences = [f"no task that lives begins with {wanted!r}; `fargate-sandbox ps` lists them", *known.silent]
        raise SandboxError("\n".join(sentences))
    more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    named = ", ".join(map(str, found[:_NAMED]))
    raise SandboxError(f"{wanted!r} may be any of {len(found)} tasks: {named}{more}; say more of one, or its id")


def take_task(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="a task's id, name or test, or how it begins, as `ps` shows it")

"""Entries of a ledger by where their tasks are, and what is asked of all those places at once.

A place that cannot be reached today keeps nobody from the others: it is told of by its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.leaves.side_by_side import side_by_side
from pytest_fargate_sandbox.place.resolve_place import find_again
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.records.ledger import Entry

T = TypeVar("T")

_PLACE = ("engine_directory", "endpoint_url", "region", "cluster")


@dataclass
class EntriesAtPlace:
    """What the ledgers know of one cluster."""

    entries: list[Entry] = field(default_factory=list)

    @property
    def cluster(self) -> str:
        return str(self.entries[0].facts["cluster"])

    @property
    def name(self) -> str:
        facts = self.entries[0].facts
        if facts.get("engine_directory"):
            return f"the local engine of {facts['engine_directory']}"
        return f"cluster {self.cluster} {_where(facts.get('endpoint_url'), facts.get('region'))}"

    @property
    def by_arn(self) -> dict[str, Entry]:
        return {str(entry.task_arn): entry for entry in self.entries}

    def connect(self) -> Aws | None:
        """The way to it; None where it was an engine that is no more. Raises ``AwsError``."""
        return find_again(self.entries[0].facts)


def by_place(entries: Iterable[Entry]) -> list[EntriesAtPlace]:
    """Those of which it is known where they were."""
    places: dict[tuple[str, ...], EntriesAtPlace] = {}
    for entry in entries:
        if "cluster" in entry.facts:  # else the line that told it is lost
            key = tuple(str(entry.facts.get(name)) for name in _PLACE)
            places.setdefault(key, EntriesAtPlace()).entries.append(entry)
    return list(places.values())


def at_each_place(
    entries: Iterable[Entry], act: Callable[[EntriesAtPlace], T]
) -> list[tuple[EntriesAtPlace, T | AwsError]]:
    """What ``act`` returns for each place, or the ``AwsError`` that it raises there; all at once."""
    answers: list[tuple[EntriesAtPlace, T | AwsError]] = []
    others: list[BaseException] = []

    def ask(place: EntriesAtPlace) -> None:
        try:
            answers.append((place, act(place)))
        except AwsError as error:
            answers.append((place, error))
        except BaseException as error:
            others.append(error)

    side_by_side([partial(ask, place) for place in by_place(entries)])
    if others:
        raise others[0]
    return answers


def _where(endpoint_url: str | None, region: str | None) -> str:
    return f"at {endpoint_url}" if endpoint_url else f"in {region}"

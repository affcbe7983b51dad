"""Entries of a ledger, and the way to where their tasks are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.place.resolve_place import find_again

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.records.ledger import Entry


def by_place(entries: Iterable[Entry]) -> Iterator[tuple[Aws | None, str, dict[str, Entry]]]:
    """For each cluster: the way to it (None where it was an engine that is no more), its name, its entries by ARN."""
    places: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in entries:
        place = (str(entry.facts.get("endpoint_url")), str(entry.facts.get("cluster")))
        places.setdefault(place, {})[str(entry.task_arn)] = entry
    for (_, cluster), group in places.items():
        yield find_again(next(iter(group.values())).facts), cluster, group

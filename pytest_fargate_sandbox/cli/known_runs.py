"""The runs of this user that go on, as the ledgers of this machine know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.printable import printable
from pytest_fargate_sandbox.leaves.what_is_meant import meant_by
from pytest_fargate_sandbox.records.ledger import Ledger, all_ledgers
from pytest_fargate_sandbox.records.standing import began

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fargate_sandbox.records.ledger import Entry

_MOST_NAMED = 5


def find_run(wanted: str) -> Ledger:
    """The ledger of the one whose id begins like this; of the newest that goes on, where nothing is wanted.

    Raises ``SandboxError`` when there is none, or more than one.
    """
    known = [ledger for ledger in all_ledgers() if ledger.entries()]
    if not wanted:
        under_way = [ledger for ledger in known if _goes_on(ledger.entries())]
        if not under_way:
            raise SandboxError(
                "no run that has begun a sandbox goes on; `fargate-sandbox ps` lists the tasks that live"
            )
        return max(under_way, key=_began)
    found = meant_by(wanted, known, lambda ledger: [ledger.run_id])
    if len(found) == 1:
        return found[0]
    if found:
        raise SandboxError(f"{wanted!r} begins several runs: {_named(found)}")
    others = [ledger for ledger in known if _goes_on(ledger.entries()) or _has_left_something(ledger.entries())]
    told = f"there are: {_named(others)}" if others else "there is none"
    raise SandboxError(
        f"no run that goes on, or has left something, begins with {wanted!r}; {told}. "
        "Of one that is over, `fargate-sandbox report` tells"
    )


def _goes_on(entries: Iterable[Entry]) -> bool:
    return any(entry.owner_lives for entry in {entry.owner: entry for entry in entries if entry.owner[0]}.values())


def _has_left_something(entries: Iterable[Entry]) -> bool:
    return any(entry.task_arn and (entry.is_kept or not entry.is_over) for entry in entries)


def _began(ledger: Ledger) -> float:
    return began(ledger.entries(), default=0.0)


def _named(ledgers: list[Ledger]) -> str:
    newest = sorted(ledgers, key=_began, reverse=True)
    return ", ".join([printable(each.run_id) for each in newest[:_MOST_NAMED]] + ["…"] * (len(ledgers) > _MOST_NAMED))

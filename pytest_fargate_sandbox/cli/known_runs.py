"""The runs of this user that go on, as the ledgers of this machine know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.printable import printable
from pytest_fargate_sandbox.records.ledger import Ledger, all_ledgers

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
    found = [ledger for ledger in known if ledger.run_id.startswith(wanted)]
    exact = [ledger for ledger in found if ledger.run_id == wanted]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise SandboxError(f"{wanted!r} begins several runs: {_named(found)}")
    others = f"there are: {_named(known)}" if known else "there is none"
    raise SandboxError(
        f"no run that goes on, or has left something, begins with {wanted!r}; {others}. "
        "Of one that is over, `fargate-sandbox report` tells"
    )


def _goes_on(entries: Iterable[Entry]) -> bool:
    return any(entry.owner_lives for entry in {entry.owner: entry for entry in entries if entry.owner[0]}.values())


def _began(ledger: Ledger) -> float:
    return min((time for entry in ledger.entries() for time in entry.times.values()), default=0.0)


def _named(ledgers: list[Ledger]) -> str:
    newest = sorted(ledgers, key=_began, reverse=True)
    return ", ".join([printable(each.run_id) for each in newest[:_MOST_NAMED]] + ["…"] * (len(ledgers) > _MOST_NAMED))

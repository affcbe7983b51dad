"""The machines of a run that have slots, and who has which, in the document that its processes share.

A slot is had by its number, and a number may be had while its machine still starts: so of a crowd that comes at once
one launches, and the others wait for what they have. Whether a slot is clean is not written here, that its server
knows: who has a number takes the slot from whoever had it before, who may have died with it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_fargate_sandbox.leaves.process_identity import still_runs, this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

Document = dict[str, Any]
Machine = dict[str, Any]

SHARED = "shared"
"""The role of a task whose slots anybody may have, in its row of the bound on tasks."""
KEPT = ""
"""Stands for a worker, at a slot that is kept."""
_NO_NEW_TENANTS = 0.75
"""After this part of its time to live a machine takes none, so that each has the last quarter at least."""


class Place(NamedTuple):
    """A slot that somebody has. ``up`` is how to get into its machine, as ``came_up`` was told; None: it starts."""

    machine: str
    number: int
    up: dict[str, Any] | None = None
    is_ours_to_start: bool = False


class Tenant(NamedTuple):
    """Who wants one: ``claim`` is a word for this wish alone."""

    claim: str
    worker: str

    @property
    def facts(self) -> dict[str, Any]:
        return {"claim": self.claim, "worker": self.worker, **this_process()}


def place_for(
    document: Document,
    tenant: Tenant,
    kind: str,
    size: int,
    near: Collection[str] = (),
    may_wait_for: Callable[[str], bool] = lambda _worker: True,
) -> Place:
    """The slot that it has, or has from now on: the first that can be used at once, on a machine that is near.

    Asked again until that is ``up``, or ours to start. ``may_wait_for`` tells whether the worker that starts a machine
    does not wait for us.
    """
    had = _place_of(document, tenant)
    if had and had.up:
        return had
    found = _free_now(document, kind, near)
    if had and (found or not _may_wait(document["machines"][had.machine], may_wait_for)):
        let_go(document, tenant)
        had = None
    if found:
        return _take(document, found, tenant)
    place = had or _take(
        document, _free_soon(document, kind, may_wait_for) or _on_a_new_one(document, kind, size), tenant
    )
    machine = document["machines"][place.machine]
    if machine["starter"] is None or not still_runs(machine["starter"]):
        machine["starter"] = tenant.facts
        return place._replace(is_ours_to_start=True)
    return place


def is_free_now(document: Document, kind: str) -> bool:
    """Whether who waits for a machine to start had better not."""
    return _free_now(document, kind, ()) is not None


def may_become_free(document: Document, kind: str, waiting: Collection[str]) -> bool:
    """Whether somebody has one who goes on, and will let go of it."""
    machines = [machine for machine in _machines(document).values() if machine["up"] and machine["kind"] == kind]
    holders = {holder["worker"] for machine in machines for holder in machine["held"].values()}
    return not holders <= {KEPT, *waiting}


def came_up(document: Document, name: str, *, row: str, ttl: float, facts: dict[str, Any], age: float = 0.0) -> None:
    """``facts`` are how to get in; ``row`` is that of its task in the bound, which is no worker's any more."""
    machine = document["machines"][name]
    machine.update(row=row, up=facts, starter=None, until=time.monotonic() + _NO_NEW_TENANTS * ttl - age)
    document["tasks"][row]["role"] = SHARED
    _tell_bound(document, machine)


def did_not_start(document: Document, name: str) -> None:
    """Whoever else waits for it may try."""
    machine = document["machines"].get(name)
    if machine is not None:
        machine["starter"] = None
        _drop_if_nobodys(document, name)


def let_go(document: Document, tenant: Tenant, *, retired: bool = False) -> str | None:
    """It has no slot any more. The machine that it was in, if that has none left that anybody could have."""
    place = _place_of(document, tenant)
    if place is None:
        return None
    machine = document["machines"][place.machine]
    del machine["held"][str(place.number)]
    if retired:
        machine["retired"].append(place.number)
    _tell_bound(document, machine)
    _drop_if_nobodys(document, place.machine)
    is_spent = not machine["held"] and len(machine["retired"]) >= machine["size"]
    return place.machine if is_spent else None


def keep(document: Document, tenant: Tenant, test: str) -> list[str]:
    """Nobody is to have its slot any more, and the machine is to live on. All tests whose slots are kept there."""
    place = _place_of(document, tenant)
    if place is None:
        return [test]
    machine = document["machines"][place.machine]
    machine["held"][str(place.number)] = {"worker": KEPT, "test": test}
    _tell_bound(document, machine)
    return [holder["test"] for holder in machine["held"].values() if holder["worker"] == KEPT]


def lose(document: Document, name: str) -> str | None:
    """The machine is no more; the row of its task, for who is told first."""
    machine = document.get("machines", {}).pop(name, None)
    return str(machine["row"]) if machine else None


def forget_worker(document: Document, worker: str) -> None:
    """It crashed: it has no slot, and starts no machine."""
    for name, machine in list(document.get("machines", {}).items()):
        machine["held"] = {number: holder for number, holder in machine["held"].items() if holder["worker"] != worker}
        if machine["starter"] and machine["starter"]["worker"] == worker:
            machine["starter"] = None
        _tell_bound(document, machine)
        _drop_if_nobodys(document, name)


# --- inside ---------------------------------------------------------------------------------------------------------
def _machines(document: Document) -> dict[str, Machine]:
    """But for those whose tasks had to make way."""
    machines: dict[str, Machine] = document.setdefault("machines", {})
    for name, machine in list(machines.items()):
        if machine["up"] and document["tasks"].get(machine["row"], {}).get("role") != SHARED:
            del machines[name]
    return machines


def _place_of(document: Document, tenant: Tenant) -> Place | None:
    for name, machine in _machines(document).items():
        for number, holder in machine["held"].items():
            if holder.get("claim") == tenant.claim:
                return Place(name, int(number), machine["up"])
    return None


def _free_now(document: Document, kind: str, near: Collection[str]) -> Place | None:
    up = {name: each for name, each in _machines(document).items() if each["up"] and time.monotonic() < each["until"]}
    ordered = sorted(up, key=lambda name: name not in near)
    return next(_free_at(up, ordered, kind), None)


def _free_soon(document: Document, kind: str, may_wait_for: Callable[[str], bool]) -> Place | None:
    machines = _machines(document).items()
    starting = {name: each for name, each in machines if not each["up"] and _may_wait(each, may_wait_for)}
    return next(_free_at(starting, starting, kind), None)


def _may_wait(machine: Machine, may_wait_for: Callable[[str], bool]) -> bool:
    return machine["starter"] is None or may_wait_for(machine["starter"]["worker"])


def _free_at(machines: dict[str, Machine], names: Collection[str], kind: str) -> Iterator[Place]:
    """Those that nobody has; then those whose tenants died, of which nobody has told."""
    named = [(name, machines[name]) for name in names if machines[name]["kind"] == kind]
    for tenants_are_looked_for in (False, True):
        for name, machine in named:
            for number in range(machine["size"]):
                holder = machine["held"].get(str(number))
                is_dead = tenants_are_looked_for and holder and holder["worker"] != KEPT and not still_runs(holder)
                if number not in machine["retired"] and (holder is None or is_dead):
                    yield Place(name, number, machine["up"])


def _on_a_new_one(document: Document, kind: str, size: int) -> Place:
    number = document["machines_named"] = document.get("machines_named", 0) + 1
    name = f"machine{number}"
    machine = {"kind": kind, "size": size, "starter": None, "row": "", "up": None, "held": {}, "retired": []}
    _machines(document)[name] = machine
    return Place(name, 0)


def _take(document: Document, place: Place, tenant: Tenant) -> Place:
    machine = _machines(document)[place.machine]
    machine["held"][str(place.number)] = tenant.facts
    _tell_bound(document, machine)
    return place


def _tell_bound(document: Document, machine: Machine) -> None:
    """Which workers have something there, so that it makes way when none has."""
    row = document.get("tasks", {}).get(machine["row"])
    if row is not None:
        row["tenants"] = sorted({holder["worker"] for holder in machine["held"].values()})


def _drop_if_nobodys(document: Document, name: str) -> None:
    """One that has not come up, and that nobody waits for."""
    machine = document["machines"][name]
    if not (machine["up"] or machine["held"]):
        del document["machines"][name]

"""Where each entry of a ledger stands now: what it waits for, and since when. For whoever shows a run that goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fargate_sandbox.records.ledger import Entry

BUILDING, WAITING, REFUSED, LAUNCHING, STARTING = "building", "waiting", "refused", "launching", "starting"
AHEAD, RUNNING, SLOT, KEPT, LEFT, OVER = "ahead", "running", "slot", "kept", "left", "over"


class Standing(NamedTuple):
    """``state`` is one of the words above; ``phase`` that of a start, where one is under way."""

    state: str
    since: float
    phase: str = ""


def began(entries: Iterable[Entry], *, default: float) -> float:
    """When the first event of a run was; ``default`` where it has none."""
    return min((time for entry in entries for time in entry.times.values()), default=default)


def standing(entry: Entry) -> Standing | None:
    """None where the entry is about nothing that lasts."""
    last = entry.events[-1] if entry.events else ""
    if last in ("building", "build"):
        times = entry.latest if "built" in entry.events else entry.times  # by others before, where it was found at once
        return Standing(BUILDING, times["building"])
    if last == "waiting":
        return Standing(WAITING, entry.times["waiting"]) if entry.owner_lives else None
    if "slot_leased" in entry.events and "slot_ended" not in entry.events:
        return Standing(SLOT, entry.times["slot_leased"])
    if entry.is_unnamed and last != "given_up":
        return _launching(entry)
    return _of_a_task(entry) if entry.task_arn else None


def _launching(entry: Entry) -> Standing:
    if "refused" in entry.events[-2:]:
        return Standing(REFUSED, entry.times["refused"], "launch")
    return Standing(LAUNCHING, entry.latest["launching"], "launch")


def _of_a_task(entry: Entry) -> Standing:
    launched = entry.times.get("launched", entry.times.get("opened", 0.0))
    if entry.is_over:
        return Standing(OVER, entry.latest.get("stopped", launched))
    if entry.is_kept:
        return Standing(LEFT if entry.is_left else KEPT, entry.latest["kept"])
    if "ready" in entry.events or "set_up" in entry.events:
        return Standing(RUNNING, entry.times.get("set_up", entry.times.get("ready", launched)))
    if entry.is_shelved:
        return Standing(AHEAD, launched, "launch")
    return Standing(STARTING, launched, str(entry.facts.get("name") or ""))

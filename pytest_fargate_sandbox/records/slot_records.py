"""What a run's ledger knows of slots: each lease on one has an entry of its own, and so has each that was retired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fargate_sandbox.records.ledger import Entry, Ledger

_TIMES = {"leased": "slot_leased", "ended": "slot_ended"}


class SlotRecord:
    """Writes down one lease, whose ``claim`` no other has."""

    def __init__(self, ledger: Ledger, claim: str) -> None:
        self._ledger, self._claim = ledger, claim

    def leased(self, **facts: Any) -> None:
        """``machine`` is the ARN of its task."""
        self.note("slot_leased", **facts)

    def note(self, event: str, **facts: Any) -> None:
        self._ledger.tell(f"slot-{self._claim}", event, **facts)

    def ended(self, *, kept: bool = False) -> None:
        self.note("slot_ended", kept=kept)

    def retired(self, machine: str, number: int, reason: str) -> None:
        """It could not be cleaned, before or after; so it may be the lease that it never came to."""
        self._ledger.tell(f"retired-{self._claim}-{number}", "slot_retired", machine=machine, slot=number, why=reason)


def slot_leases(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Plain values."""
    return [_lease(entry) for entry in entries if "slot_leased" in entry.events]


def retired_slots(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Plain values, with the reason of each."""
    found = [entry.facts for entry in entries if "slot_retired" in entry.events]
    return [{"task_arn": each["machine"], "slot": each["slot"], "why": each["why"]} for each in found]


def _lease(entry: Entry) -> dict[str, Any]:
    facts = entry.facts
    return {
        "task_arn": facts["machine"],
        "slot": facts["slot"],
        "home": facts["home"],
        "isolation": facts["isolation"],
        "worker": facts["worker"],
        "tests": facts["tests"],
        "waited_sec": facts["waited_sec"],
        "times": {name: entry.times[event] for name, event in _TIMES.items() if event in entry.times},
        "commands": facts.get("commands") or [],
        "kept": bool(facts.get("kept")),
    }

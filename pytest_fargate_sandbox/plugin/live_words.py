"""What the live line says: what is waited for, and for how long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pytest_fargate_sandbox.records.ledger import Entry, Ledger

_ASK_EVERY_SEC = 1.0


def describe(entries: list[Entry], now: float, ready: Collection[str] = (), full: str = "") -> str:
    """``sandboxes: 3 starting (12 s), 2 ready, 5 running; 1 test waits (8 s)``; nothing when nothing is waited for.

    ``ready``: the ARNs of tasks that are known to run though nobody has taken them; ``full``: what the account says
    where it has no room for more.
    """
    building = [entry for entry in entries if _is_at(entry, "building")]
    refused = [entry for entry in entries if entry.is_unnamed and "refused" in entry.events[-2:]]
    alive = [entry for entry in entries if entry.task_arn and not entry.is_over and not entry.is_kept]
    running = [entry for entry in alive if "ready" in entry.events]
    idle = [entry for entry in alive if entry.is_shelved and entry.task_arn in ready]
    starting = [entry for entry in alive if entry not in running and entry not in idle]
    waiting = [entry for entry in entries if _is_at(entry, "waiting") and entry.owner_lives]
    if not (building or refused or starting or waiting):
        return ""
    parts = [f"images being built: {len(building)}"] if building else []
    if refused:
        parts.append(f"{len(refused)} refused for {_longest(refused, 'refused', now)} ({_refusal(refused)})")
    parts += [f"{len(starting)} starting ({_longest(starting, 'launched', now)})"] if starting else []
    parts += [f"{len(idle)} ready"] if idle else []
    parts.append(f"{len(running)} running")
    told = f"sandboxes: {', '.join(parts)}"
    if not waiting:
        return told
    told += f"; {_tests(waiting)} ({_longest(waiting, 'waiting', now)})"
    return f"{told}: {full}" if full else told


class OnTheShelf:
    """Which of the tasks that nobody has taken yet run by now. Only ECS knows, so whoever wants to tell has to ask."""

    def __init__(self, ledger: Ledger) -> None:
        from pytest_fargate_sandbox.run.run_tasks import RunTasks

        self._tasks = RunTasks(ledger)
        self._ready: set[str] = set()
        self._asks_next = 0.0

    def ready(self, entries: list[Entry]) -> set[str]:
        unknown = set(_idle_arns(entries)) - self._ready
        if unknown and time.monotonic() >= self._asks_next:
            described = self._tasks.described(unknown)
            self._ready |= {arn for arn, task in described.items() if task["lastStatus"] == "RUNNING"}
            self._asks_next = time.monotonic() + _ASK_EVERY_SEC
        return self._ready


def _idle_arns(entries: list[Entry]) -> Iterator[str]:
    for entry in entries:
        if entry.task_arn and entry.is_shelved and not entry.is_over:
            yield entry.task_arn


def _is_at(entry: Entry, event: str) -> bool:
    return entry.events[-1:] == [event]


def _longest(entries: list[Entry], since: str, now: float) -> str:
    """The clock of the machine may have been set back meanwhile."""
    return f"{max(0.0, now - min(entry.times.get(since, now) for entry in entries)):.0f} s"


def _refusal(refused: list[Entry]) -> str:
    return str(refused[-1].facts.get("refusal"))


def _tests(waiting: list[Entry]) -> str:
    return "1 test waits" if len(waiting) == 1 else f"{len(waiting)} tests wait"

"""A run as data, from its ledger: what was launched for whom, how long it took, how it ended, and what it cost."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.names import TAG_TEST, TAG_WORKER
from pytest_fargate_sandbox.records.costs import entry_cost_usd
from pytest_fargate_sandbox.records.machine_spans import spans_of
from pytest_fargate_sandbox.records.slot_records import retired_slots, slot_leases

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fargate_sandbox.records.ledger import Entry

REPORT_VERSION = 1
"""Of the form of ``--fargate-report-json``; more keys may come in the same one."""

_STEPS = ("launched", "claimed", "ready")


def run_report(entries: Iterable[Entry], *, cluster: str) -> dict[str, Any]:
    """Plain values, as ``--fargate-report-json`` writes them."""
    entries = list(entries)
    launches = [entry for entry in entries if entry.task_arn]
    retries = [entry.facts for entry in entries if "retried" in entry.events]
    slots = slot_leases(entries)
    facts = launches[0].facts if launches else {}
    return {
        "engine": facts.get("endpoint_url") if facts.get("engine_directory") else None,
        "cluster": facts.get("cluster", cluster),
        "region": facts.get("region"),
        "counts": {
            "launched": sum(entry.tasks for entry in launches if "left_by" not in entry.facts),
            "reused": sum(map(_was_left, launches)),
            "prelaunched_unused": sum(1 for entry in launches if entry.is_shelved),
            "retried": len(retries),
            "kept": sum(map(_is_kept, launches)),
            "left": sum(1 for entry in launches if entry.is_left and not entry.is_over),
            "slots_leased": len(slots),
            "slots_retired": len(retired_slots(entries)),
            "leaked": sum(1 for entry in entries if not (entry.is_over or entry.is_kept or entry.is_taken_over)),
        },
        "cost_usd": round(sum(entry_cost_usd(entry) for entry in launches), 6),
        "unused_usd": round(sum(entry_cost_usd(entry) for entry in launches if entry.is_shelved), 6),
        "sandboxes": [_sandbox(entry, slots) for entry in launches],
        "slots": slots,
        "retired": retired_slots(entries),
        "retries": [{"test": each["test"], "error": each["error"]} for each in retries],
        "waits": [_wait(entry) for entry in entries if "waiting" in entry.events],
        "refusals": [_refusal(moment) for entry in entries for moment in entry.moments if moment[0] == "refused"],
    }


def slowest_phases(report: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """The median and the slowest of each phase of a start, in seconds; of ``start``, which is as long as tests waited
    for their sandboxes; and of ``task``, which is as long as the tasks took to run, were they launched ahead or not.
    """
    seconds: dict[str, list[float]] = {}
    for sandbox in report["sandboxes"]:
        phases = sandbox["phases"]
        if phases:
            sums = {"start": sum(phases.values()), "task": sandbox["launch_sec"] or 0.0}
            for name, took in {**phases, **sums}.items():
                seconds.setdefault(name, []).append(took)
    return {name: (statistics.median(each), max(each)) for name, each in seconds.items()}


def _sandbox(entry: Entry, slots: list[dict[str, Any]]) -> dict[str, Any]:
    tests = [test for slot in slots if slot["task_arn"] == entry.task_arn for test in slot["tests"]]
    labels = entry.facts.get("labels") or {}
    return {
        "task_arn": entry.task_arn,
        "image": entry.facts.get("image") or "",
        "worker": labels.get(TAG_WORKER, ""),
        "made_for": labels.get(TAG_TEST, ""),
        "tests": list(dict.fromkeys(tests)) or entry.facts.get("tests") or [],
        "prelaunched": bool(entry.facts.get("prelaunched")),
        "phases": entry.facts.get("phases") or {},
        "launch_sec": entry.facts.get("launch_sec"),
        "times": _times(entry),
        "spans": spans_of(entry),
        "cost_usd": round(entry_cost_usd(entry), 6),
        "commands": entry.facts.get("commands") or [],
        "cause": entry.facts.get("cause") or "",
        "kept": _is_kept(entry),
        "left": entry.is_left and not entry.is_over,
        "reused": _was_left(entry),
        "not_left": entry.facts.get("why") or "" if "not_left" in entry.events else "",
    }


def _times(entry: Entry) -> dict[str, float]:
    """Of its first task's launch, and of its last one's end."""
    times = {step: entry.times[step] for step in _STEPS if step in entry.times}
    ended = entry.lives[-1][1] if entry.lives else None
    return {**times, "stopped": ended} if ended else times


def _wait(entry: Entry) -> dict[str, Any]:
    """Of a test, for its sandbox, whatever that took."""
    return {"test": entry.facts["test"], "began": entry.times["waiting"], "ended": entry.times.get("waited")}


def _refusal(moment: tuple[str, float, str]) -> dict[str, Any]:
    """Of a launch, by the account."""
    return {"t": moment[1], "why": moment[2]}


def _is_kept(entry: Entry) -> bool:
    return entry.is_kept and not (entry.is_left or entry.is_over)


def _was_left(entry: Entry) -> bool:
    """By an earlier run, and was of use to this one."""
    return "left_by" in entry.facts and "set_up" in entry.events

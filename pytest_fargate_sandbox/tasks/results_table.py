"""The table at the end: who solved what, how sure that is, and what could not be evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.printable import one_line
from pytest_fargate_sandbox.tasks.adversaries import ADVERSARIES
from pytest_fargate_sandbox.tasks.attempt_groups import folders_of_one_name, groups_of
from pytest_fargate_sandbox.tasks.attempt_record import is_evaluable
from pytest_fargate_sandbox.tasks.task_statistics import all_of, mean_share, share

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_fargate_sandbox.tasks.attempt_groups import AttemptGroup

MOST_ROWS = 60
_LONGEST_NAME = 60
_LONGEST_LINE = 500


def table_of(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lines: of each task that is not as it should be, of each agent, and what all of it is worth."""
    rows = groups_of(records)
    shown = [row for row in rows if _wants_attention(row)]
    if shown:
        yield from _aligned([_HEAD, *map(_cells, shown[:MOST_ROWS])])
        if len(shown) > MOST_ROWS:
            yield f"… and {len(shown) - MOST_ROWS} more (--fargate-results FILE has all)"
    yield from _aligned([_AGENTS_HEAD, *_agents(rows)])
    yield from _evaluable(records)
    yield from _without_internet(records)
    yield from _changed(records)
    for name, folders in folders_of_one_name(records).items():
        yield one_line(f"two tasks are called {name}: {', '.join(folders)}", _LONGEST_LINE)


_HEAD = ("task", "agent", "passed", "pass@1 (95 %)", "pass^k")
_AGENTS_HEAD = ("agent", "tasks", "passed", "pass@1 (95 %)", "pass^k")


def _wants_attention(row: AttemptGroup) -> bool:
    """Of who tries the task itself: that it did not go as it goes with a sound one."""
    wanted = row.tries if row.agent == "oracle" else 0
    is_trial_of_task = row.agent in ("oracle", "nop", *ADVERSARIES)
    return not is_trial_of_task or row.evaluable < row.tries or row.passed != wanted


def _cells(row: AttemptGroup) -> tuple[str, ...]:
    k = row.evaluable
    every = all_of(k, row.passed, k)
    more = f" ({row.tries - k} more without verdict)" if row.tries > k else ""
    return (
        one_line(row.task, _LONGEST_NAME),
        one_line(row.agent, _LONGEST_NAME),
        f"{row.passed} of {k}{more}",
        str(share(row.passed, row.evaluable) or "-"),
        "-" if every is None else f"{every:.2f} (k={k})",
    )


def _agents(rows: Sequence[AttemptGroup]) -> Iterator[tuple[str, ...]]:
    """Each task counts once, however often it was tried."""
    by_agent: dict[str, list[AttemptGroup]] = {}
    for row in rows:
        by_agent.setdefault(row.agent, []).append(row)
    for agent, theirs in by_agent.items():
        tried = [row for row in theirs if row.evaluable]
        k = min((row.evaluable for row in tried), default=0)
        every = [all_of(k, row.passed, row.evaluable) or 0.0 for row in tried]
        yield (
            one_line(agent, _LONGEST_NAME),
            str(len(theirs)),
            f"{sum(row.passed for row in tried)} of {sum(row.evaluable for row in tried)}",
            str(mean_share([row.passed / row.evaluable for row in tried]) or "-"),
            f"{sum(every) / len(every):.2f} (k={k})" if every else "-",
        )


def _evaluable(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    counts: dict[str, int] = {}
    for record in records:
        if not is_evaluable(record):
            kind = (record.get("trouble") or {}).get("kind") or record["verdict"]
            counts[kind] = counts.get(kind, 0) + 1
    why = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    yield f"evaluable: {len(records) - sum(counts.values())} of {len(records)} attempts{f' ({why})' if why else ''}"
    shared = {record["task"] for record in records if record.get("shared")}
    if shared:
        yield f"verified beside the agent (environment_mode = 'shared'), so not to be relied on: {len(shared)} tasks"


def _without_internet(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    why = [record["no_internet"] for record in records if record.get("no_internet")]
    if why:
        told = f"tried without any network, where the internet is expected: {len(why)} attempts ({why[0]})"
        yield one_line(told, _LONGEST_LINE)


def _changed(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Of who was graded again."""
    again = [record for record in records if "was" in record]
    changed = [record for record in again if record["was"] != record["verdict"]]
    if again:
        yield f"verified again: {len(again)}, of which {len(changed)} with another verdict"
    for record in changed[:MOST_ROWS]:
        why = (record.get("trouble") or {}).get("message") or record.get("said") or ""
        yield one_line(f"  {record['test']}: {record['was']} → {record['verdict']}{why and f' ({why})'}", _LONGEST_LINE)


def _aligned(lines: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()

"""What came of a trial, counted: a row of the table that is printed at the end and kept in ``docs/reliability.md``."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import MISBEHAVED
from pytest_fargate_sandbox.plugin.outcomes import infrastructure_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from tests.chaos.faults import Strike
    from tests.chaos.trial import Act

_COLUMNS = (
    "what", "on", "done", "faults", "lost", "doubled", "wrongly failed", "errors that say so", "well again: median",
    "slowest", "longest act", "left behind", "took", "seed",
)  # fmt: skip
HEADER = f"| {' | '.join(_COLUMNS)} |\n{'| --- ' * len(_COLUMNS)}|"
_BEGIN, _END = "<!-- table -->\n", "<!-- end of table -->"
_MOST_TOLD = 5


@dataclass
class Tally:
    """``honest`` errors are those that a test run reports as an error of the infrastructure, never as a failed test."""

    what: str
    on: str
    seed: int
    done: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    lost: list[int] = field(default_factory=list)
    doubled: list[int] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    honest: list[str] = field(default_factory=list)
    heals: list[float] = field(default_factory=list)
    longest: float = 0.0
    left: dict[str, int] = field(default_factory=dict)
    took: float = 0.0

    def count(self, acts: Sequence[Act], strikes: Sequence[Strike], written_down: Counter[int]) -> None:
        self.done += len(acts)
        self.longest = max([self.longest, *(act.ended - act.began for act in acts)])
        self.count_faults(strike.fault for strike in strikes)
        self.doubled += [number for number, times in written_down.items() if times > 1]
        for act in acts:
            if act.error is None:
                self.lost += [] if written_down[act.number] else [act.number]
            else:
                (self.honest if is_honest(act.error) else self.failed).append(f"{act.number}: {act.error!r:.400}")

    def count_faults(self, names: Iterable[str]) -> None:
        self.faults = dict(Counter(self.faults) + Counter(names))

    def count_left(self, left: Mapping[str, int]) -> None:
        self.left = {name: self.left.get(name, 0) + left.get(name, 0) for name in {**self.left, **left}}

    @property
    def is_clean(self) -> bool:
        """Whether nothing happened that may never happen."""
        return not (self.lost or self.doubled or self.failed or any(self.left.values()))

    def __str__(self) -> str:
        wrong = {"lost": self.lost, "doubled": self.doubled, "failed": self.failed, "honest": self.honest}
        told = [f"\n  {name}: {entry}" for name, entries in wrong.items() for entry in entries[:_MOST_TOLD]]
        return f"{self.row()}{''.join(told)}"

    def row(self) -> str:
        faults = ", ".join(f"{count:,} {name}" for name, count in sorted(self.faults.items()))
        wrong = [len(each) for each in (self.lost, self.doubled, self.failed, self.honest)]
        heals = [f"{form(self.heals):.2f} s" if self.heals else "" for form in (statistics.median, max)]
        left = ", ".join(f"{count} {name}" for name, count in self.left.items())
        took = f"{self.took:,.0f} s"
        longest = f"{self.longest:.1f} s" if self.longest else ""
        cells = [self.what, self.on, f"{self.done:,}", faults, *wrong, *heals, longest, left, took, self.seed]
        return f"| {' | '.join(map(str, cells))} |"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Tally:
        return cls(**values)


def is_honest(error: BaseException) -> bool:
    """Nothing here lies, so to be called a liar is as wrong as to be called a failure."""
    told = infrastructure_error(error)
    return told is not None and told.context.get("kind") != MISBEHAVED


def healing_times(acts: Sequence[Act], strikes: Iterable[Strike]) -> list[float]:
    """Of each fault: until something was done that was begun after it. What met the next one counts as well."""
    done = sorted((act for act in acts if act.error is None), key=lambda act: act.ended)
    found = []
    for strike in strikes:
        first = next((act.ended for act in done if act.began >= strike.over), None)
        found += [] if first is None else [first - strike.over]
    return found


def write_into(page: Path, rows: Iterable[str]) -> None:
    """Each row in the place of the one that said the same of the same before, or behind all."""
    before, _, rest = page.read_text().partition(_BEGIN)
    table, _, behind = rest.partition(_END)
    known = {_key(line): line for line in table.splitlines()[2:]}
    known.update({_key(row): row for row in rows})
    page.write_text(f"{before}{_BEGIN}{HEADER}\n" + "".join(f"{row}\n" for row in known.values()) + _END + behind)


def _key(row: str) -> tuple[str, ...]:
    return tuple(row.split("|")[1:3])

"""A run as lines: a head, a row for each machine and for what is waited for, and more of the row that is chosen."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_fargate_sandbox.leaves.names import SETUP_PHASES, TAG_TEST, TAG_WORKER
from pytest_fargate_sandbox.leaves.printable import columns_of, one_line
from pytest_fargate_sandbox.leaves.times_in_words import span_in_column
from pytest_fargate_sandbox.records import standing as stands
from pytest_fargate_sandbox.records.costs import entry_cost_usd
from pytest_fargate_sandbox.run.build_news import BuildNews
from pytest_fargate_sandbox.run.live_words import Moment, describe

if TYPE_CHECKING:
    from pytest_fargate_sandbox.records.ledger import Entry, Ledger
    from pytest_fargate_sandbox.records.standing import Standing
    from pytest_fargate_sandbox.run.live_words import Standings

_STATES = {
    stands.WAITING: "waits",
    stands.BUILDING: "builds",
    stands.REFUSED: "refused",
    stands.LAUNCHING: "launch",
    stands.STARTING: "starts",
    stands.AHEAD: "ahead",
    stands.RUNNING: "runs",
    stands.SLOT: "slot",
    stands.KEPT: "kept",
    stands.LEFT: "left",
    stands.OVER: "over",
}
"""In the order of the rows, and how they are called where no phase is."""
_ORDER = list(_STATES)
_ALIVE = (stands.STARTING, stands.AHEAD, stands.RUNNING, stands.SLOT, stands.KEPT, stands.LEFT)


class _Row(NamedTuple):
    entry: Entry
    stands: Standing
    slots: int


class _Column(NamedTuple):
    name: str
    width: int
    """At most; the last one has what is left."""


_COLUMNS = (
    _Column("TASK", 8),
    _Column("STATE", 10),
    _Column("FOR", 7),
    _Column("WORKER", 6),
    _Column("COST", 8),
    _Column("TEST", 0),
)
_LEAST_OF_THE_LAST = 12
_LEFT_OUT = ("COST", "WORKER", "TEST", "TASK")
"""Where there is no room for all, in this order."""


class RunView:
    """``look`` has it up to date; ``lines`` are what is to be seen then."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._news = BuildNews()
        self._moment = Moment([], 0.0)
        self._rows: list[_Row] = []
        self._chosen = ""
        self._top = 0
        self._total: dict[str, Any] = {}
        self.chosen_line = -1
        """Which of the lines is the chosen row's; -1: none."""

    def look(self, now: float) -> None:
        is_there = self._ledger.path.exists()
        entries = self._ledger.entries()
        self._moment = Moment(entries, now, said=self._news.lines(entries) if is_there else {})
        self._total = {
            "usd": sum(map(_cost, entries)),
            "began": stands.began(entries, default=now),
            "is_there": is_there,
        }
        found = sorted(self._moment.standings, key=lambda each: (_ORDER.index(each[1].state), _first(each[1])))
        slots = _slots_in_use(found)
        self._rows = [_Row(entry, place, slots[entry.task_arn]) for entry, place in found]

    def choose(self, steps: int) -> None:
        """Another row, so many below."""
        if self._rows:
            self._chosen = self._rows[min(max(0, self._place + steps), len(self._rows) - 1)].entry.id

    @property
    def chosen_task(self) -> str:
        """The id of the chosen row's task, where that is alive."""
        row = self._rows[self._place] if self._rows else None
        return _id_of(row.entry) if row and row.stands.state in _ALIVE else ""

    @property
    def _place(self) -> int:
        return next((at for at, row in enumerate(self._rows) if row.entry.id == self._chosen), 0)

    def lines(self, columns: int, rows: int | None = None) -> list[str]:
        """All rows where nothing is said of how many lines there may be; else those around the one that is chosen."""
        head = [one_line(line, columns) for line in self._head(columns)]
        if rows is None:
            return head + self._table(self._rows, columns)
        more = self._more(columns) if rows >= 8 else []
        room = max(0, rows - len(head) - 1 - len(more))
        self._top = min(max(self._top, self._place - room + 1), self._place, max(0, len(self._rows) - room))
        self._top = max(0, self._top)
        shown = self._rows[self._top : self._top + room]
        self.chosen_line = len(head) + 1 + self._place - self._top if shown else -1
        lines = head + self._table(shown, columns)
        return (lines + [""] * (rows - len(lines) - len(more)) + more)[:rows]

    def _head(self, columns: int) -> list[str]:
        machines = sum(1 for row in self._rows if row.entry.task_arn)
        told = [f"run {self._ledger.run_id}", span_in_column(self._moment.now - self._total["began"])]
        told += [f"{machines} machine{'s' * (machines != 1)}", f"${self._total['usd']:.4f}"]
        if not self._total["is_there"]:
            told.append("over")
        return ["  ".join(told), describe(self._moment, columns) or self._what_lives()]

    def _what_lives(self) -> str:
        counts = [(word, sum(row.stands.state == state for row in self._rows)) for state, word in _STATES.items()]
        return ", ".join(f"{count} {word}" for word, count in counts if count)

    def _table(self, rows: list[_Row], columns: int) -> list[str]:
        wanted = _columns_for(columns)
        table = [[each.name for each in wanted], *([self._cell(row, each.name) for each in wanted] for row in rows)]
        return [_line(wanted, cells, columns) for cells in table]

    def _cell(self, row: _Row, column: str) -> str:
        entry, place = row.entry, row.stands
        if column == "TASK":
            return _id_of(entry)[:8]
        if column == "STATE" and place.state == stands.SLOT:
            return f"slot {entry.facts.get('slot', '')}"
        if column == "STATE":
            return _STATES[place.state] if place.state == stands.AHEAD else place.phase or _STATES[place.state]
        if column == "FOR":
            return span_in_column(self._moment.now - place.since)
        if column == "WORKER" and place.state != stands.AHEAD:
            return str(entry.facts.get("worker") or _labels(entry).get(TAG_WORKER) or "")
        if column == "COST" and entry.task_arn:
            return f"${_cost(entry):.4f}"
        return self._test(row) if column == "TEST" else ""

    def _test(self, row: _Row) -> str:
        facts = row.entry.facts
        if row.stands.state == stands.BUILDING:
            said = self._moment.said.get(row.entry.id, "")
            return f"{facts.get('directory', '')}{said and f': {said}'}"
        if row.slots:
            return f"{row.slots} slot{'s' * (row.slots != 1)} in use"
        had = facts.get("tests")
        tests = [str(facts["test"])] if facts.get("test") else [*map(str, had)] if isinstance(had, list) else []
        label = str(_labels(row.entry).get(TAG_TEST) or "")
        return label if row.stands.state == stands.RUNNING and label else ", ".join(tests) or label

    def _more(self, columns: int) -> list[str]:
        """Of the chosen row."""
        if not self._rows:
            return []
        entry = self._rows[self._place].entry
        phases = entry.facts.get("phases")
        phases = phases if isinstance(phases, dict) else {}
        took = ", ".join(f"{name} {float(phases[name]):.1f} s" for name in SETUP_PHASES if name in phases)
        made_of = [str(entry.facts.get(name) or "") for name in ("task_arn", "image")]
        return [one_line("  ".join(filter(None, made_of)), columns), one_line(took, columns)]


def _columns_for(columns: int) -> list[_Column]:
    wanted = list(_COLUMNS)
    for name in _LEFT_OUT:
        if sum((each.width or _LEAST_OF_THE_LAST) + 1 for each in wanted) > columns + 1:
            wanted = [each for each in wanted if each.name != name]
    return wanted


def _line(columns: list[_Column], cells: list[str], width: int) -> str:
    parts = []
    for column, cell in zip(columns, cells, strict=True):
        shown = one_line(cell, column.width or width)
        parts.append(shown + " " * (column.width - columns_of(shown)))
    return one_line(" ".join(parts).rstrip(), width)


def _id_of(entry: Entry) -> str:
    """Of a slot its machine's."""
    return str(entry.task_arn or entry.facts.get("machine") or "").rpartition("/")[2]


def _labels(entry: Entry) -> dict[str, Any]:
    labels = entry.facts.get("labels")
    return labels if isinstance(labels, dict) else {}


def _first(place: Standing) -> float:
    """What lasts longest comes first; of what is over, the last."""
    return -place.since if place.state == stands.OVER else place.since


def _cost(entry: Entry) -> float:
    try:
        return entry_cost_usd(entry)
    except (KeyError, TypeError, ValueError):
        return 0.0  # another version's lines


def _slots_in_use(standings: Standings) -> Counter[str | None]:
    """By the ARNs of machines."""
    return Counter(entry.facts.get("machine") for entry, place in standings if place.state == stands.SLOT)

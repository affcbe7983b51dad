"""A figure, the bound that it has to keep, and how a list of them is told: a table to read, JSON to keep.

Each module of this package beside this one and ``__main__`` has ``figures() -> Iterator[Figure]``; one that takes a
harness names its package as ``HARNESS``, and does not import it before.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """``value`` has to be ``at_most`` or ``at_least`` its ``bound``; ``detail`` says what it was made of."""

    name: str
    value: float
    unit: str = ""
    bound: float = math.nan
    sense: Literal["at most", "at least", "told"] = "told"
    detail: str = ""

    @property
    def kept(self) -> bool | None:
        if self.sense == "told":
            return None
        return self.value <= self.bound if self.sense == "at most" else self.value >= self.bound


def at_most(name: str, value: float, bound: float, unit: str = "", detail: str = "") -> Figure:
    return Figure(name, value, unit, bound, "at most", detail)


def at_least(name: str, value: float, bound: float, unit: str = "", detail: str = "") -> Figure:
    return Figure(name, value, unit, bound, "at least", detail)


def told(name: str, value: float, unit: str = "", detail: str = "") -> Figure:
    return Figure(name, value, unit, detail=detail)


def seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def medians_in_turn(runs: int, *acts: Callable[[], object]) -> list[float]:
    """The median seconds of each act, all of them taken in turn, so that a noisy moment meets them all alike."""
    taken: list[list[float]] = [[] for _ in acts]
    for _ in range(runs):
        for times, act in zip(taken, acts, strict=True):
            times.append(seconds(act))
    return [statistics.median(times) for times in taken]


def row(figure: Figure) -> str:
    mark = {True: "yes", False: "NO", None: ""}[figure.kept]
    bound = "" if figure.kept is None else f"{figure.sense} {figure.bound:g}{figure.unit}"
    return f"| {figure.name} | {figure.value:.3g}{figure.unit} | {bound} | {mark} | {figure.detail} |"


HEADER = "| figure | measured | asked | kept | of |\n| --- | --- | --- | --- | --- |"


_EARLIER = 20


def save(figures: Iterable[Figure], path: Path) -> None:
    """What stood there before is kept beside it, the last of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        earlier = path.with_suffix(".earlier.jsonl")
        lines = earlier.read_text(encoding="utf-8").splitlines() if earlier.exists() else []
        lines.append(json.dumps(json.loads(path.read_text(encoding="utf-8"))))
        earlier.write_text("\n".join(lines[-_EARLIER:]) + "\n", encoding="utf-8")
    rows = [{**asdict(figure), "kept": figure.kept} for figure in figures]
    for each in rows:
        if math.isnan(each["bound"]):
            each["bound"] = None
    path.write_text(json.dumps({"taken": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "figures": rows}, indent=1) + "\n")

"""A trial: a workload while a storm rages, and what it came to."""

from __future__ import annotations

import faulthandler
import os
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.leaves.waiting import NotYet, WaitTimeout, wait_until
from tests.chaos.faults import Storm, dealt
from tests.chaos.tally import Tally, healing_times
from tests.processes import children

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.faults import Fault
    from tests.chaos.systems import System
    from tests.chaos.workloads import Workload

HANGS_AFTER = 120.0
_SETTLES_WITHIN = 20.0


class Act(NamedTuple):
    number: int
    began: float
    ended: float
    error: BaseException | None


class Extent(NamedTuple):
    """How long a trial is: so many acts, seconds, or faults, whichever comes first."""

    acts: int
    seconds: float = float("inf")
    faults: float = float("inf")


def try_out(
    what: str, system: System, workload: Workload, faults: Sequence[Fault], *, every: float, extent: Extent, seed: int
) -> Tally:
    tally = Tally(what, system.name, seed)
    workload.act(0)  # what is made once is made
    before, began, chance = holdings(), time.monotonic(), random.Random(seed)
    with Storm(dealt(faults, chance), every, chance, lambda: system.is_settled) as storm:
        acts = perform(workload, extent, lambda: len(storm.strikes) >= extent.faults)
    tally.took = time.monotonic() - began
    system.calm_down()
    tally.count(acts, storm.strikes, workload.written_down())
    if workload.is_brief:
        tally.heals = healing_times(acts, storm.strikes)
    tally.left = {"staged files": workload.litter(), **left_over(before)}
    return tally


def perform(
    workload: Workload, extent: Extent, is_enough: Callable[[], bool] = lambda: False, *, until_broken: bool = False
) -> list[Act]:
    """From as many threads as the workload wants; ``until_broken`` each ends with its first error.

    One that does not come back is an error, not a hang of ours.
    """
    acts: list[Act] = []
    numbers, end = iter(range(1, extent.acts + 1)), time.monotonic() + extent.seconds
    lock = threading.Lock()
    under_way: dict[int, float] = {}

    def work() -> None:
        while time.monotonic() < end and not is_enough():
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            under_way[number] = began = time.monotonic()
            error = _failure_of(workload, number)
            acts.append(Act(number, began, time.monotonic(), error))
            del under_way[number]
            if error and until_broken:
                return

    threads = [threading.Thread(target=work, name=f"act {n}", daemon=True) for n in range(workload.threads)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.02)
        hung = [n for n, began in list(under_way.items()) if time.monotonic() - began > HANGS_AFTER]
        if hung:
            faulthandler.dump_traceback(sys.__stderr__)
            hangs = AssertionError(f"not back after {HANGS_AFTER:.0f} s")
            return [*acts, *(Act(n, under_way.get(n, 0.0), time.monotonic(), hangs) for n in hung)]
    return acts


def _failure_of(workload: Workload, number: int) -> BaseException | None:
    try:
        workload.act(number)
    except BaseException as error:
        return error
    return None


# --- what is held -----------------------------------------------------------------------------------------------------
def holdings(*pids: int) -> dict[str, int]:
    """Descriptors, threads and children of this process, and of others."""
    pids = pids or (os.getpid(),)
    return {
        "descriptors": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),  # noqa: PTH208
        "threads": sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids),  # noqa: PTH208
        "processes": sum(len(children(pid)) for pid in pids),
    }


def left_over(before: dict[str, int], look: Callable[[], dict[str, int]] = holdings) -> dict[str, int]:
    """How much more is held than before, once what is ending has ended."""

    def more() -> dict[str, int]:
        return {name: max(0, count - before[name]) for name, count in look().items()}

    def probe() -> bool:
        if any(more().values()):
            raise NotYet(str(more()))
        return True

    try:
        wait_until(probe, deadline=_SETTLES_WITHIN, what="as little as before")
    except WaitTimeout:
        pass
    return more()

"""Sandboxes that are started, cut and stopped, one after the other, leave all as it was."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

from tests.chaos import faults
from tests.chaos.faults import Storm, dealt
from tests.chaos.parts import Parts
from tests.chaos.systems import fargate
from tests.chaos.tally import Tally
from tests.chaos.trial import Extent, holdings, left_over, perform
from tests.chaos.workloads import Commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox import EcsFargateConfig
    from tests.engine_of_tests import EngineOfTests


def test_after_many_rounds_all_is_as_at_the_start(
    engine: EngineOfTests,
    local_config: Callable[..., EcsFargateConfig],
    soak: bool,
    seed: int,
    dead_after: float,
    judge: Callable[[Tally], None],
) -> None:
    chance, began = random.Random(seed), time.monotonic()
    parts = Parts(engine.engine.directory, chance)
    pids = (os.getpid(), parts.engine(), parts.launcher())
    tally = Tally("start, 8 commands, cuts, stop", "embedded Fargate", seed)

    def round_of_eight() -> None:
        with fargate(local_config(), dead_after) as system:
            workload = Commands(system, seed)
            with Storm(dealt([faults.cut(system.proxy)], chance), 0.1, chance, lambda: system.is_settled) as storm:
                acts = perform(workload, Extent(8))
            tally.count(acts, storm.strikes, workload.written_down())

    for _ in range(2):  # what is made once is made
        round_of_eight()
    before, rounds = holdings(*pids), 500 if soak else 1
    for _ in range(rounds):
        round_of_eight()
    tally.done = rounds
    tally.took = time.monotonic() - began
    tally.left = left_over(before, lambda: holdings(*pids))
    judge(tally)

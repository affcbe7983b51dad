"""Every part of the embedded Fargate and of a task on it, stopped for a while or killed for good."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import EcsFargateSandbox
from pytest_fargate_sandbox.place.local_cluster import local_engine
from tests.chaos import faults
from tests.chaos.faults import NothingToStrike, Storm, dealt
from tests.chaos.parts import Parts
from tests.chaos.systems import fargate
from tests.chaos.tally import Tally
from tests.chaos.trial import Extent, perform, try_out
from tests.chaos.workloads import Commands, UntilTheEnd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateConfig
    from tests.engine_of_tests import EngineOfTests

_DEAD_AFTER = 10.0
_SHORT, _LONG = 2.0, 600.0
_ONE_LIFE = Extent(1000, 15.0)


@pytest.fixture
def parts(
    engine: EngineOfTests,  # noqa: ARG001  it puts back what this sets
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    seed: int,
) -> Parts:
    """Of an engine for this test alone, which the test has to end."""
    monkeypatch.setenv("FARGATE_ENGINE_DIR", str(tmp_path / "engine"))
    local_engine()
    return Parts(tmp_path / "engine", random.Random(seed))


def ended(parts: Parts) -> dict[str, int]:
    parts.remember()
    with contextlib.suppress(NothingToStrike):  # the last fault may have been its end
        os.kill(parts.engine(), signal.SIGTERM)
    return parts.left_over()


def test_commands_outlast_parts_that_stand_still(
    parts: Parts, local_config: Callable[..., EcsFargateConfig], soak: bool, seed: int, judge: Callable[[Tally], None]
) -> None:
    finds = (parts.server, parts.sidecar, parts.holder, parts.launcher, parts.engine)
    stops = [faults.stop(find.__name__, find) for find in finds]
    what, extent = "commands, 16 threads, parts stopped", Extent(3000, _LONG if soak else _SHORT)
    with fargate(local_config(), _DEAD_AFTER) as system:
        tally = try_out(what, system, Commands(system, seed), stops, every=0.3, extent=extent, seed=seed)
    tally.count_left(ended(parts))
    judge(tally)
    assert not tally.honest, str(tally)


def test_a_part_that_is_killed_is_told_and_the_next_task_is_well(
    parts: Parts, local_config: Callable[..., EcsFargateConfig], soak: bool, seed: int, judge: Callable[[Tally], None]
) -> None:
    chance, began, struck = random.Random(seed), time.monotonic(), 0.0
    ends = [faults.kill(find.__name__, find) for find in (parts.launcher, parts.sidecar, parts.holder)]
    if soak:  # in short, tests/place/test_lost_engine.py and tests/sandbox/test_ecs_fargate_troubles.py have these
        ends += [faults.kill("engine", parts.engine), faults.kill("server", parts.server)]
        ends.append(faults.stopped_by_somebody(parts.stop_task))
    each = dealt(ends, chance)
    tally = Tally("commands until their task is killed, then a new task", "embedded Fargate", seed)
    for _ in range(150 if soak else len(ends)):
        with EcsFargateSandbox(local_config(), task_id="chaos", run_id="chaos") as sandbox:
            sandbox.start()
            parts.remember()
            workload = UntilTheEnd(sandbox)
            with Storm([next(each)], chance.uniform(0.1, 0.8), chance) as storm:
                acts = perform(workload, _ONE_LIFE, until_broken=True)
        tally.count(acts, storm.strikes, workload.written_down())
        tally.heals += [acts[0].ended - struck] if struck else []
        struck = storm.strikes[0].over
    tally.took = time.monotonic() - began
    tally.count_left(ended(parts))
    judge(tally)

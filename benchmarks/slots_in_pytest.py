"""Many small tests with a slot each, on many workers, against a task for each; launches take 5 s."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, at_most, told
from benchmarks.pytest_face import DELAY_SEC, OURS, WarmEngine, keep_bytecode, run

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = 300
APART = 12
WORKERS = "-n", "4"

FLOOR = f"""
import time, pytest

@pytest.fixture(scope="session")
def sleeps_once():
    time.sleep({DELAY_SEC})

@pytest.mark.parametrize("n", range({TESTS}))
def test_it(sleeps_once, n): pass
"""
IN_SLOTS = OURS.format(tests=TESTS, command="true").replace("fargate_sandbox", "fargate_slot")


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as scratch:
        folder = Path(scratch)
        keep_bytecode(folder)
        floor = run(folder, FLOOR, *WORKERS)
        with WarmEngine.started(folder / "slots", DELAY_SEC) as engine:
            spent = run(folder, IN_SLOTS, *WORKERS, f"--fargate-report-json={folder / 'report.json'}")
            launched = engine.calls("RunTask")
        of_a_slot, inside = engine.task_seconds() / TESTS, engine.cpu
        with WarmEngine.started(folder / "apart", DELAY_SEC) as engine:
            run(folder, OURS.format(tests=APART, command="true"), *WORKERS, "--fargate-prelaunch=0")
        of_a_task = engine.task_seconds() / APART
        leased = statistics.median(_seconds_had(folder / "report.json"))
    detail = f"one sleep of {DELAY_SEC:g} s instead takes {floor.wall:.1f} s; {launched} tasks were launched"
    yield at_most(f"{TESTS} tests with a slot each, {' '.join(WORKERS)}", spent.wall, 20, " s", detail)
    yield told("the same against that floor", spent.wall / floor.wall, " times")
    detail = (
        f"pytest's beyond the floor's {spent.cpu - floor.cpu:.1f} s, the engine's and its containers' {inside:.1f} s"
    )
    yield told("processor time of a test", 1000 * (spent.cpu - floor.cpu + inside) / TESTS, " ms", detail)
    detail = f"for each test {of_a_slot:.3f} s of a task, against {of_a_task:.1f} s of {APART} tests with a task each"
    yield at_most("task-seconds against a task for each", of_a_slot / of_a_task, 1 / 20, "", detail)
    detail = f"the median of {TESTS}, with what pytest does meanwhile, four at once"
    yield told("from lease to clean again", leased * 1000, " ms", detail)


def _seconds_had(report: Path) -> Iterator[float]:
    for slot in json.loads(report.read_text())["slots"]:
        yield slot["times"]["ended"] - slot["times"]["leased"] + slot["waited_sec"]

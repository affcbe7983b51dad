"""The inner loop: how soon the first command of a run runs that has a machine of the run before; launches take 5 s."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, at_most, told
from benchmarks.pytest_face import DELAY_SEC, WarmEngine, keep_bytecode, run

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = 9

TEST = """
import json, time

def test_it({fixture}):
    {first}
    json.dump([time.time(), time.process_time()], open("moment.json", "w"))
"""
FLOOR = TEST.format(fixture="", first="pass")
IN_A_SLOT = TEST.format(fixture="fargate_slot", first='assert fargate_slot.exec("true").ok')
OF_THE_SESSION = IN_A_SLOT.replace("fargate_slot", "fargate_session_sandbox")
KINDS = {"a slot's": IN_A_SLOT, "a session's sandbox's": OF_THE_SESSION}


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as scratch:
        folder = Path(scratch)
        keep_bytecode(folder)
        for name, source in KINDS.items():
            with WarmEngine.started(folder / name.replace(" ", "-"), DELAY_SEC) as engine:
                _until_first(folder, source)
                rounds = [(_until_first(folder, FLOOR), _until_first(folder, source)) for _ in range(RUNS)]
                launched = engine.calls("RunTask")
            walls, cpus = (statistics.median(ours[i] - floor[i] for floor, ours in rounds) for i in (0, 1))
            floor = statistics.median(floor[0] for floor, _ in rounds)
            detail = (
                f"pytest's own start-up takes {floor:.2f} s; median of {RUNS} runs in turn, {launched} task launched"
            )
            yield at_most(f"{name} first command, behind pytest's own start-up", walls, 0.5, " s", detail)
            yield told("the same, of the processor", cpus, " s")
            yield told("the same on the clock, against that start-up", walls / floor, " times")


def _until_first(folder: Path, source: str) -> tuple[float, float]:
    """Seconds until the test has got as far, on the clock and of pytest's processor."""
    began = time.time()
    run(folder, source, "-p", "no:xdist", "--fargate-reuse=bench", "--fargate-prelaunch=0")
    moment, cpu = json.loads((folder / "moment.json").read_text())
    return moment - began, cpu

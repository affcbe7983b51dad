"""Trials of trivial tasks by Harbor, against the same folders tried by pytest: as many sandboxes, as many at once."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, at_most
from benchmarks.pytest_face import WarmEngine, keep_bytecode, run
from benchmarks.task_folders import TRIED, write_task

if TYPE_CHECKING:
    from collections.abc import Iterator

HARNESS = "harbor"
TRIALS = 32
AT_ONCE = "4"
SHARED = '[verifier]\nenvironment_mode = "shared"\n'
"""What Harbor does where a task says nothing: one sandbox for agent and verifier."""

_ADAPTER = "pytest_fargate_sandbox.adapters.harbor:FargateEnvironment"
_ALONE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HARBOR_TELEMETRY": "off"}
"""Or its imports ask the internet."""


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as scratch:
        folder = Path(scratch)
        keep_bytecode(folder)
        for number in range(TRIALS):
            write_task(folder / "tasks" / f"t{number:02}", SHARED)
        with WarmEngine.started(folder / "engine", 0.0):
            taken = {}
            for job in ("first", "second"):  # of which the first is not counted
                taken["harbor"] = harbor(folder, job)
                taken["pytest"] = run(folder, "", *TRIED, "-m", "oracle", "-n", AT_ONCE, "tasks").wall
    detail = f"{taken['harbor']:.1f} s against {taken['pytest']:.1f} s, -n {AT_ONCE}, each as a whole process"
    yield at_most(f"{TRIALS} trials by Harbor", taken["harbor"] / taken["pytest"], 1.3, " times", detail)


def harbor(folder: Path, job: str) -> float:
    given = ["run", "-y", "-q", "-e", _ADAPTER, "-p", "tasks", "-a", "oracle", "-n", AT_ONCE, "-o", "jobs"]
    command = [str(Path(sys.executable).with_name("harbor")), *given, "--job-name", job, "--ek", "network=none"]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, env={**os.environ, **_ALONE}, check=True, stdout=subprocess.DEVNULL)
    taken = time.perf_counter() - began
    rewards = [each for each in (folder / "jobs" / job).glob("*/result.json") if '"reward": 1.0' in each.read_text()]
    if len(rewards) != TRIALS:
        raise RuntimeError(f"{len(rewards)} of {TRIALS} trials got the reward")
    return taken

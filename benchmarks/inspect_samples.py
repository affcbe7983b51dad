"""Inspect's own way to a sandbox, against ours: a command, and samples at once against as many tests at once."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyio.from_thread import start_blocking_portal

from benchmarks.figures import Figure, at_most, medians_in_turn
from benchmarks.pytest_face import OURS, WarmEngine, keep_bytecode, run

if TYPE_CHECKING:
    from collections.abc import Iterator

HARNESS = "inspect_ai"
COMMANDS = 300
AT_ONCE = 20
MOST = 1.3
EVALUATED = f"""
import inspect_ai
from inspect_ai.dataset import Sample
from inspect_ai.solver import solver
from inspect_ai.util import sandbox

@solver
def runs():
    async def solve(state, generate):
        assert (await sandbox().exec(["true"])).success
        return state
    return solve

samples = [Sample(input=str(number)) for number in range({AT_ONCE})]
task = inspect_ai.Task(dataset=samples, solver=runs())
[log] = inspect_ai.eval(task, model="mockllm/model", sandbox="fargate", display="none", max_samples={AT_ONCE})
assert log.status == "success", log.error
"""


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as scratch:
        folder = Path(scratch)
        keep_bytecode(folder)
        with WarmEngine.started(folder / "commands", 0.0):
            yield from commands()
        with WarmEngine.started(folder / "samples", 0.0):
            yield samples(folder)


def commands() -> Iterator[Figure]:
    from pytest_fargate_sandbox.adapters.inspect import FargateSandboxConfig, FargateSandboxEnvironment

    config = FargateSandboxConfig()
    with start_blocking_portal() as portal:
        made: Any = portal.call(FargateSandboxEnvironment.sample_init, "bench", config, {})
        theirs = made["default"]
        ours = theirs.sandbox
        both = (partial(theirs.exec, ["true"]), partial(ours.exec, ["true"]))
        through, own = medians_in_turn(COMMANDS, *(partial(portal.call, each) for each in both))
        portal.call(partial(FargateSandboxEnvironment.sample_cleanup, "bench", config, made, interrupted=False))
    detail = f"{1000 * through:.2f} ms against {1000 * own:.2f} ms, the medians of {COMMANDS}"
    yield at_most("exec through Inspect, against AsyncSandbox", through / own, MOST, " times", detail)


def samples(folder: Path) -> Figure:
    """Each as a whole process, after one that nobody counts."""
    (folder / "evaluated.py").write_text(EVALUATED)
    tests = OURS.format(tests=AT_ONCE, command="true")
    taken = {}
    for _ in range(2):
        taken["samples"] = evaluated(folder)
        taken["tests"] = run(folder, tests, "-n", str(AT_ONCE)).wall
    detail = f"{taken['samples']:.1f} s against {taken['tests']:.1f} s of pytest -n {AT_ONCE}"
    return at_most(f"{AT_ONCE} samples at once", taken["samples"] / taken["tests"], MOST, " times", detail)


def evaluated(folder: Path) -> float:
    began = time.perf_counter()
    environment = {**os.environ, "INSPECT_LOG_DIR": str(folder / "logs")}
    subprocess.run([sys.executable, "evaluated.py"], cwd=folder, env=environment, check=True)
    return time.perf_counter() - began

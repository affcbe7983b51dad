"""The plugin at scale: many tests on many workers, with an engine that is warm and takes 5 s for a launch."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import Figure, at_most
from pytest_fargate_sandbox.leaves.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 8
TESTS = 64
ROUNDS = 3
AHEAD = ("--fargate-prelaunch=6", "--fargate-max-tasks=64")
MANY = 200
DELAY_SEC = 5.0
AT_ONCE = 24
UNUSED_RUNS = 15

FLOOR = f"""
import time, pytest

@pytest.fixture(scope="session")
def sleeps_once():
    time.sleep({DELAY_SEC})

@pytest.mark.parametrize("n", range({TESTS}))
def test_it(sleeps_once, n):
    time.sleep(1)
"""
OURS = """
import pytest

@pytest.mark.parametrize("n", range({tests}))
def test_it(fargate_sandbox, n):
    assert fargate_sandbox.exec("{command}").ok
"""


@dataclass(frozen=True)
class Spent:
    """What a run of pytest took: on the clock, and of the processors with all its workers."""

    wall: float
    cpu: float


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as scratch:
        folder = Path(scratch)
        keep_bytecode(folder)
        yield from against_a_sleep(folder)
        yield from many_tests_of_one_kind(folder)
        yield from unused(folder)


def keep_bytecode(folder: Path) -> None:
    """As where a package is installed: whatever this machine says, nothing is compiled at each start."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    with WarmEngine.started(folder / "first", 0.0):
        run(folder, OURS.format(tests=4, command="true"), "-n", "2")


def against_a_sleep(folder: Path) -> Iterator[Figure]:
    rounds = [one_round(folder, number) for number in range(ROUNDS)]
    ahead = statistics.median(each.ahead.wall for each in rounds)
    floor = statistics.median(each.floor.wall for each in rounds)
    ratio = statistics.median(each.ahead.wall / each.floor.wall for each in rounds)
    told_of = f"{TESTS} tests of 1 s, -n {WORKERS} {' '.join(AHEAD)}; the median of {ROUNDS} rounds"
    detail = f"{ahead:.1f} s against {floor:.1f} s, {told_of}"
    yield at_most("a sandbox for each test, against one sleep", ratio, 1.4, " times", detail)
    taken = ", ".join(f"{each.sandbox_cpu:.3f} (floor {each.floor.cpu:.1f} s)" for each in rounds)
    detail = f"pytest's processes beyond the floor's, and the engine's: {taken}"
    cpu = statistics.median(each.sandbox_cpu for each in rounds)
    yield at_most("processor time of a sandbox", cpu, 0.3, " s", detail)
    yield from by_default(folder, floor)


def by_default(folder: Path, floor: float) -> Iterator[Figure]:
    """With no options at all: the first run of a project, and the next one, which remembers what launches take."""
    for name, limit in (("for the first time", 1.6), ("for the second time", 1.4)):
        with WarmEngine.started(folder / name, DELAY_SEC) as engine:
            spent = run(folder, OURS.format(tests=TESTS, command="sleep 1"), "-n", str(WORKERS), remembers=True)
            for_nothing = engine.calls("RunTask") - TESTS
        detail = f"{spent.wall:.1f} s against {floor:.1f} s"
        yield at_most(f"the same with the default options, {name}", spent.wall / floor, limit, " times", detail)
        yield at_most(f"tasks launched for nothing, {name}", for_nothing, 3)


@dataclass(frozen=True)
class Round:
    """The floor and the same tests with sandboxes, one after the other on the same machine in the same mood."""

    floor: Spent
    ahead: Spent
    engine_cpu: float

    @property
    def sandbox_cpu(self) -> float:
        return (self.ahead.cpu - self.floor.cpu + self.engine_cpu) / TESTS


def one_round(folder: Path, number: int) -> Round:
    floor = run(folder, FLOOR, "-n", str(WORKERS))
    with WarmEngine.started(folder / f"ahead{number}", DELAY_SEC) as engine:
        ahead = run(folder, OURS.format(tests=TESTS, command="sleep 1"), "-n", str(WORKERS), *AHEAD)
    return Round(floor, ahead, engine.cpu)


def many_tests_of_one_kind(folder: Path) -> Iterator[Figure]:
    with WarmEngine.started(folder / "many", 0.0) as engine:
        run(folder, OURS.format(tests=MANY, command="true"), "-n", str(WORKERS), f"--fargate-max-tasks={AT_ONCE}")
        time_out = time.monotonic() + 5
        while engine.alive() and time.monotonic() < time_out:
            time.sleep(0.1)
        left = len(engine.alive())
        registrations = engine.calls("RegisterTaskDefinition")
        starts = [line for line in engine.lines() if line.get("event") == "ready"]
    detail = f"{MANY} tests, -n {WORKERS}, from the engine's log"
    yield at_most("RegisterTaskDefinition", registrations, 1, detail=detail)
    yield at_most("engines started", len(starts), 1, detail=detail)
    yield at_most("most tasks alive", engine.most_alive(), AT_ONCE, detail=f"--fargate-max-tasks={AT_ONCE}")
    yield at_most("alive 5 s after pytest's exit", left, 0, detail=detail)


def unused(folder: Path) -> Iterator[Figure]:
    """A project that does not use the plugin, with it and without it, in turn; the difference of the fastest runs."""
    (folder / "test_it.py").write_text("def test_it(): pass\n")
    taken: dict[str, list[float]] = {"": [], "no:": []}
    for _ in range(UNUSED_RUNS):
        for prefix, times in taken.items():
            began = time.perf_counter()
            switched_off = ["-p", "no:fargate_sandbox"] if prefix else []
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *switched_off]
            subprocess.run([*command, "test_it.py"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - began)
    with_us, without = (min(times) for times in taken.values())
    detail = f"{with_us * 1000:.0f} ms with, {without * 1000:.0f} ms without, the fastest of {UNUSED_RUNS} each"
    yield at_most("pytest on a project that doesn't use us", (with_us - without) * 1000, 15, " ms", detail)


# --- pytest ---------------------------------------------------------------------------------------------------------
def run(folder: Path, source: str, *options: str, remembers: bool = False) -> Spent:
    """Run pytest on one file and see that all its tests pass. ``remembers``: with pytest's cache, across runs."""
    (folder / "test_it.py").write_text(source)
    before, began = _children_cpu(), time.perf_counter()
    cache = ["-o", f"cache_dir={folder / 'cache'}"] if remembers else ["-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", *cache, *options, "test_it.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    wall = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"pytest returned {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return Spent(wall, _children_cpu() - before)


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# --- the engine -----------------------------------------------------------------------------------------------------
class WarmEngine:
    """An engine that pytest finds, with one sandbox behind it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.cpu = 0.0
        """The processor time of the engine and all its containers, once it has ended."""

    @classmethod
    @contextmanager
    def started(cls, directory: Path, delay: float) -> Iterator[WarmEngine]:
        directory.mkdir(mode=0o700)
        environment = {
            "FARGATE_ENGINE_DIR": str(directory),
            "FARGATE_ENGINE_LOG": str(directory / "log.jsonl"),
            "XDG_CACHE_HOME": str(directory / "cache"),
        }
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        with (directory / "users.lock").open("w") as lock, (directory / "output").open("wb") as output:
            fcntl.flock(lock, fcntl.LOCK_SH)
            command = [sys.executable, "-m", "pytest_fargate_sandbox.local", "--state", str(directory)]
            command += ["--launch-delay", str(delay), "--log", str(directory / "log.jsonl")]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            engine = cls(directory)
            try:
                wait_until(lambda: (directory / "engine.json").exists() or None, deadline=30, what="the engine")
                yield engine
            finally:
                before_its_end = _children_cpu()
                process.terminate()
                process.wait()
                engine.cpu = _children_cpu() - before_its_end
                for name, value in before.items():
                    os.environ.pop(name) if value is None else os.environ.update({name: value})

    def lines(self) -> list[dict[str, Any]]:
        whole = (self._directory / "log.jsonl").read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def calls(self, operation: str) -> int:
        return sum(1 for line in self.lines() if line.get("operation") == operation)

    def task_seconds(self) -> float:
        """What its tasks lived together, from their launch until they were stopped."""
        lived: dict[str, list[float]] = {}
        for line in self.lines():
            if line["kind"] == "task":
                lived.setdefault(line["task"], []).append(line["t"])
        return sum(times[-1] - times[0] for times in lived.values())

    def alive(self) -> set[str]:
        return _alive(self.lines())[0]

    def most_alive(self) -> int:
        return _alive(self.lines())[1]


def _alive(lines: list[dict[str, Any]]) -> tuple[set[str], int]:
    alive: set[str] = set()
    most = 0
    for line in lines:
        if line["kind"] == "task":
            (alive.discard if line["status"] == "STOPPED" else alive.add)(line["task"])
            most = max(most, len(alive))
    return alive, most

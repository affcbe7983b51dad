"""Runs of pytest whose workers, controllers and tasks are killed: no test is called failed, and nothing is left."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.names import TEMPORARY_PREFIX
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.place.local_engine import LocalEngine
from tests.chaos import faults
from tests.chaos.faults import NothingToStrike, Storm, dealt
from tests.chaos.parts import Parts
from tests.chaos.tally import Tally
from tests.plugin.one_process import warm
from tests.processes import children
from tests.warm_python import PYTEST, Popen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_TESTS = """
import pytest

MARKS = [pytest.mark.fargate(slot=bool(n % 2), artifacts=["lines"]) for n in range({count})]

@pytest.mark.parametrize("n", [pytest.param(n, marks=mark) for n, mark in enumerate(MARKS)])
def test_it(fargate_sandbox, n):
    for step in range(4):
        command = f"echo {{step}} >> lines; grep -cx {{step}} lines; sleep 0.1"
        result = fargate_sandbox.exec(command)
        assert (result.return_code, result.stdout) == (0, "1\\n")
"""
_TELLS = """
def pytest_runtest_logreport(report):
    if report.failed or report.when == "call":
        with open({told!r}, "a") as told:
            print(report.nodeid, report.when if report.failed else "passed", file=told)
"""
_LONGEST = 180.0


class Run:
    """A run of pytest in a process of its own, on an engine of its own that ends with it."""

    def __init__(self, folder: Path, count: int) -> None:
        folder.mkdir()
        self._told = folder / "told"
        self._output = folder / "output"
        self._engine_directory = folder / "engine"
        (folder / "test_it.py").write_text(_TESTS.format(count=count))
        (folder / "conftest.py").write_text(_TELLS.format(told=str(self._told)))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CI"))}
        environment["FARGATE_ENGINE_DIR"] = str(self._engine_directory)
        self._temporary = folder / "tmp"
        self._temporary.mkdir()
        environment["TMPDIR"] = str(self._temporary)
        command = [*PYTEST, *warm("-n2"), "--fargate-infra-retries=8", "--fargate-artifacts=saved"]
        with self._output.open("wb") as output:
            self.process = Popen[bytes](
                command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
            )

    def parts(self, chance: random.Random) -> Parts:
        """Once its engine serves."""
        wait_until(lambda: LocalEngine.read(self._engine_directory), deadline=60, what="the run's engine")
        return Parts(self._engine_directory, chance)

    def controller(self) -> int:
        if self.process.poll() is not None:
            raise NothingToStrike
        return self.process.pid

    def worker(self) -> int:
        workers = children(self.process.pid)
        if not workers:
            raise NothingToStrike
        return random.choice(workers)

    def left_over(self) -> int:
        """How many directories of its processes there still are; where engines keep theirs is one for all of them."""
        found = [path.name for path in self._temporary.glob(f"{TEMPORARY_PREFIX}*")]
        return len(set(found) - {f"{TEMPORARY_PREFIX}{os.geteuid()}"})

    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def verdicts(self) -> Counter[str]:
        """By what the controller was told last of each test: that it passed, or the phase of its failure."""
        told = self._told.read_text() if self._told.exists() else ""
        return Counter(dict(line.split() for line in told.splitlines()).values())


@pytest.mark.needs("namespaces")
def test_what_is_killed_is_an_error_and_never_a_failure_and_leaves_nothing(
    tmp_path: Path, soak: bool, seed: int, judge: Callable[[Tally], None]
) -> None:
    """The controller is killed in every second run, which is then over."""
    chance, began = random.Random(seed), time.monotonic()
    tally = Tally("tests of runs with 2 workers", "pytest", seed)
    count = 12 if soak else 2
    for number in range(40 if soak else 1):
        run = Run(tmp_path / f"run {number}", count)
        parts = run.parts(chance)
        ended = (parts.server, parts.sidecar, parts.holder, parts.launcher, parts.engine, run.worker)
        ends = [faults.kill(find.__name__, find) for find in ended]
        ends += [faults.stop(find.__name__, find) for find in (run.worker, run.controller)]
        ends.append(faults.hang("engine", parts.engine))
        with Storm(islice(dealt(ends, chance), count), 1.5, chance) as storm:
            lasted = watch(run, parts, chance.uniform(1, 8) if number % 2 else _LONGEST)
        tally.count_faults(strike.fault for strike in storm.strikes)
        tell(tally, run, count, killed=bool(number % 2) and not lasted)
        parts.carry_on()
        tally.count_left(parts.left_over())
        if lasted:  # what one that was killed has left, the next one sweeps
            tally.count_left({"directories": run.left_over()})
    tally.took = time.monotonic() - began
    judge(tally)


def watch(run: Run, parts: Parts, longest: float) -> bool:
    """Whether it comes to its end by itself; else it is killed."""
    end = time.monotonic() + longest
    while run.process.poll() is None:
        parts.remember()
        time.sleep(0.2)
        if time.monotonic() > end:
            run.process.kill()
            return False
    return True


def tell(tally: Tally, run: Run, count: int, *, killed: bool) -> None:
    """All tests of a run have an outcome, unless it was killed on purpose."""
    verdicts = run.verdicts()
    tally.done += verdicts.total()
    tally.failed += [run.output()] * verdicts["call"]
    tally.honest += ["an error"] * (verdicts["setup"] + verdicts["teardown"])
    if killed:
        tally.count_faults(["SIGKILL controller"])
    else:
        tally.lost += range(verdicts.total(), count)

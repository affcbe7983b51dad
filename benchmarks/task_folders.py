"""Task folders, each tried with its solution and with nobody, against as many sandboxes of tests that do the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figures import Figure, at_most
from benchmarks.pytest_face import OURS, Spent, WarmEngine, keep_bytecode, run

if TYPE_CHECKING:
    from collections.abc import Iterator

TASKS = 200
WORKERS = "-n", "4"
FILES = {
    "task.toml": '[environment]\ndocker_image = "host"\nworkdir = "/app"\n',
    "instruction.md": "Write hello into hello.txt.\n",
    "solution/solve.sh": "#!/bin/sh\necho hello > hello.txt\n",
    "tests/test.sh": "#!/bin/sh\ngrep -qx hello hello.txt && echo 1 > /logs/verifier/reward.txt "
    "|| echo 0 > /logs/verifier/reward.txt\n",
}
TRIED = "--fargate-tasks", "--fargate-adversaries=none"


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as scratch:
        folder = Path(scratch)
        keep_bytecode(folder)
        alone = measured(folder, "alone", OURS.format(tests=TASKS * 4, command="true"))
        for number in range(TASKS):
            write_task(folder / "tasks" / f"t{number:03}")
        tried = measured(folder, "tried", "", *TRIED, "tasks")
        in_slots = measured(folder, "slots", "", *TRIED, "--fargate-task-slots", "tasks")
    of = f"{TASKS} tasks, {' '.join(WORKERS)}, against {4 * TASKS} sandboxes alone"
    yield at_most("tasks in sandboxes of their own", tried.cpu / alone.cpu, 1.5, " times", detail(of, tried, alone))
    yield at_most("tasks in slots", in_slots.cpu / alone.cpu, 0.5, " times", detail(of, in_slots, alone))


def write_task(task: Path, more: str = "") -> None:
    for name, content in {**FILES, "task.toml": FILES["task.toml"] + more}.items():
        path = task / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def measured(folder: Path, name: str, source: str, *options: str) -> Spent:
    """With its engine's processor time, and its containers'."""
    with WarmEngine.started(folder / name, 0.0) as engine:
        spent = run(folder, source, *WORKERS, *options)
    return Spent(spent.wall, spent.cpu + engine.cpu)


def detail(of: str, spent: Spent, alone: Spent) -> str:
    on_the_clock = f"on the clock {spent.wall / alone.wall:.2f}"
    return f"processor time of {of}: {spent.cpu:.1f} s and {alone.cpu:.1f} s; {on_the_clock}"

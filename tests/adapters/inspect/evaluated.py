"""Tasks for ``inspect eval``: a mock model, and solvers that do what an agent would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import sandbox

GREETING = "hello from the sandbox"


@solver
def greets() -> Solver:
    """Says what it finds in its own sandbox, and nothing of another's."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001
        result = await sandbox().exec(["sh", "-c", "cat /tmp/set-up given/*; echo $(ls mine 2>/dev/null)"])
        await sandbox().exec(["touch", "mine"])
        state.output.completion = result.stdout
        return state

    return solve


def samples(number: int) -> list[Sample]:
    return [
        Sample(
            input=str(each),
            target=f"{GREETING}\n{each}\n",
            files={"given/file": f"{each}\n"},
            setup=f"mkdir -p given; echo {GREETING} > /tmp/set-up",
        )
        for each in range(number)
    ]


@task
def greeting(number: int = 2) -> Task:
    return Task(dataset=samples(number), solver=greets(), scorer=includes())


@solver
def waits() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001
        (Path(os.environ["BEGUN"]) / str(state.sample_id)).touch()
        await sandbox().exec(["sleep", "8642"])
        return state

    return solve


@task
def waiting(number: int = 2, config: str | None = None) -> Task:
    said: Any = ("fargate", config) if config else None
    return Task(dataset=samples(number), solver=waits(), sandbox=said)

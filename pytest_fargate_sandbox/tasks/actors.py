"""Who does a task in order to try the task: one who has the solution, and one who does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.tasks import task_inputs

if TYPE_CHECKING:
    from pytest_fargate_sandbox.tasks.workplace import Workplace


@dataclass(frozen=True)
class Oracle:
    """Carries out the task's own solution."""

    name: str = "oracle"

    def act(self, there: Workplace) -> None:
        folder = there.folder
        inputs = task_inputs.solution_of(folder, there.step)
        there.log.hashes["solution"] = task_inputs.digest_of(
            *([inputs.script] if folder.is_terminal_bench else inputs.directories)
        )
        goes_to = folder.layout.solution_goes_to
        if folder.is_terminal_bench:
            there.bring(inputs.script, f"{goes_to}/{inputs.script_name}")
        else:
            with task_inputs.staged(folder, inputs.directories[0]) as staged:
                there.bring(staged, goes_to)
        if task_inputs.is_without_run_bit(inputs.script) and not folder.is_terminal_bench:
            there.log.note(f"{inputs.script.relative_to(folder.path)} has no run bit: it was given one")
        script = f"{goes_to}/{inputs.script_name}"
        there.sandbox.exec(["chmod", "+x", script], check=True)
        env = {"DEBIAN_FRONTEND": "noninteractive", **task_inputs.resolved(folder.config.solution.env, "solution.env")}
        there.run(f"bash {script}" if folder.is_terminal_bench else script, env)


@dataclass(frozen=True)
class Nop:
    """Does nothing."""

    name: str = "nop"

    def act(self, there: Workplace) -> None:
        pass

"""A task for an agent whom somebody drives himself, and the grading of what he did."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxError, TaskFolderError

if TYPE_CHECKING:
    from pytest_fargate_sandbox.tasks.reward import Reward
    from pytest_fargate_sandbox.tasks.task_folder import TaskFolder
    from pytest_fargate_sandbox.tasks.task_trial import Trial


class TaskInHand:
    """``sandbox`` is the agent's, ``workspace`` where its commands should begin, ``user`` who should run them."""

    def __init__(self, trial: Trial) -> None:
        """Starts the sandbox. Raises ``TaskFolderError``, and what a sandbox raises."""
        if trial.folder.config.steps:
            raise TaskFolderError(f"{trial.folder.name} has steps, and each of them an instruction of its own")
        self._trial = trial
        self.sandbox: Any = trial.begin()
        self._there = trial.workplace(self.sandbox, None)
        self._began = time.monotonic()
        self._reward: Reward | None = None

    @property
    def folder(self) -> TaskFolder:
        return self._trial.folder

    @property
    def instruction(self) -> str:
        return self.folder.instruction

    @property
    def workspace(self) -> str:
        return self._there.workspace

    @property
    def user(self) -> str | None:
        return self._there.user

    @property
    def time_left(self) -> float:
        """Seconds that the task leaves its agent; 0 when they are over."""
        return max(0.0, self._began + self._there.timeout_sec - time.monotonic())

    def grade(self) -> Reward:
        """What he did is worth, by the task's verifier; the agent's sandbox ends. Asked again it is the same.

        Raises ``NoVerdict``, ``SandboxBroken``, and what a sandbox raises.
        """
        if self._reward is None:
            if self.sandbox.task_arn is None:
                raise SandboxError("the agent's sandbox is stopped: what was in it can be graded no more")
            self._trial.log.phases["agent"] = round(time.monotonic() - self._began, 3)
            try:
                self._reward = self._trial.judged(self.sandbox)
            finally:
                self._trial.over()
        return self._reward

"""An attempt at a task as data: what its report carries from worker to controller."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import NoVerdict, SandboxBroken, SandboxError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pytest_fargate_sandbox.tasks.reward import Reward
    from pytest_fargate_sandbox.tasks.task_folder import TaskFolder
    from pytest_fargate_sandbox.tasks.task_trial import Trial

_LINES = 40


class Attempt:
    """Of the current attempt of a test."""

    def __init__(self, trial: Trial, folder: TaskFolder, agent: str, number: int) -> None:
        self._trial = trial
        self.record: dict[str, Any] = {
            "task": folder.name,
            "agent": agent,
            "try": number,
            "verdict": "error",
            "reward": None,
            "trouble": None,
            "began": round(time.time(), 3),
        }

    @contextmanager
    def judged(self, *, breaking_is_failing: bool) -> Iterator[None]:
        """A block whose errors are verdicts, or say why there is none.

        ``breaking_is_failing``: whether who breaks his sandbox was to do something else.
        """
        try:
            yield
        except SandboxBroken as error:
            self._troubled("fail", error)
            self.record["reward"] = 0.0
            if breaking_is_failing:
                pytest.fail(self.story(str(error)), pytrace=False)
        except NoVerdict as error:
            self._troubled("none", error)
            raise
        except SandboxError as error:
            self._troubled("error", error)
            raise

    def graded(self, reward: Reward) -> None:
        self.record |= {
            "verdict": "pass" if reward.is_full else "fail",
            "reward": reward.value,
            "parts": dict(reward.parts),
        }

    def story(self, problem: str) -> str:
        """What somebody needs to see who has to find out why."""
        log = self._trial.log
        lines = [problem, *log.notes]
        if not log.shared and log.artifacts:
            lines.append(
                f"the verifier had a sandbox of its own, with no more of the agent's than {', '.join(log.artifacts)}"
            )
        if log.output.strip():
            lines += ["--- verifier (end) ---", *log.output.rstrip().splitlines()[-_LINES:]]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        return {**self.record, "ended": round(time.time(), 3), **self._trial.log.to_dict()}

    def _troubled(self, verdict: str, error: SandboxError) -> None:
        self.record["verdict"] = verdict
        self.record["trouble"] = {"kind": type(error).__name__, "message": error.message.partition("\n")[0]}


ATTEMPT: pytest.StashKey[Attempt] = pytest.StashKey()


class TaskReports:
    """Puts it on the reports; one for each process that runs tests."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        attempt = item.stash.get(ATTEMPT, None)
        if attempt is not None and call.when == "call":
            report.fargate_attempt = attempt.to_dict()  # type: ignore[attr-defined]
        return report

"""What is told of a task that did not come up, or died: ECS's reason, exit codes, the end of the logs, a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import SandboxLost, StartError
from pytest_fargate_sandbox.leaves.names import SIDECAR_CONTAINER, Cause
from pytest_fargate_sandbox.providers.aws.log_tail import log_tail
from pytest_fargate_sandbox.sandbox.task.causes import Task, Verdict, exit_codes, judge_stop, stop_reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_fargate_sandbox.providers.aws.aws import Aws

_HOW_TO_SEE_LOGS = "set `log_group` to see the containers' output here"

_WORDS = {
    Cause.OUT_OF_MEMORY: "was killed for memory",
    Cause.SPOT_RECLAIMED: "was reclaimed by Fargate Spot",
    Cause.EXPIRED: "reached the end of its time to live",
    Cause.STOPPED_BY_USER: "was stopped",
    Cause.ESSENTIAL_EXITED: "ended because a container of it exited",
    Cause.START_FAILED: "could not start",
    Cause.PULL_FAILED: "could not pull an image",
    Cause.CAPACITY: "found no capacity",
    Cause.QUOTA: "met the account's quota",
    Cause.THROTTLED: "was throttled",
    Cause.ENGINE_LOST: "was lost with what ran it",
}


@dataclass(frozen=True)
class Diagnosis:
    """One task's end, with all that can still be found out about it."""

    task: Task
    verdict: Verdict
    logs: str
    is_logged: bool
    """Whether what its containers write goes anywhere."""

    @classmethod
    def of(cls, task: Task, *, aws: Aws, registration: Mapping[str, Any], clock: str) -> Diagnosis:
        verdict = judge_stop(task, clock=clock)
        logs = container_logs(task, aws=aws, registration=registration)
        return cls(task, verdict, logs, is_logged(registration))

    @property
    def sentence(self) -> str:
        codes = ", ".join(f"{name}={code}" for name, code in exit_codes(self.task).items() if code is not None)
        parts = [
            f"the task {_WORDS.get(self.verdict.cause, 'ended')}: {stop_reason(self.task) or 'ECS gives no reason'}",
            f"exit codes: {codes}" if codes else "",
            self.verdict.advice(self._cluster),
            "" if self.is_logged else _HOW_TO_SEE_LOGS,
            f"task: {self.task.get('taskArn', '')}",
        ]
        return "\n".join(part for part in parts if part)

    @property
    def _cluster(self) -> str:
        """By the task's own name, which is all that is known at first of one that was launched ahead."""
        return str(self.task.get("taskArn", "")).rpartition("/")[0]

    def start_error(self, phase: str) -> StartError:
        return StartError(
            self.sentence,
            phase=phase,
            cause=self.verdict.cause,
            transient=self.verdict.transient,
            **self._facts(),
        )

    def lost(self) -> SandboxLost:
        return SandboxLost(self.sentence, cause=self.verdict.cause, **self._facts())

    def _facts(self) -> dict[str, Any]:
        return {
            "reason": stop_reason(self.task),
            "exit_codes": exit_codes(self.task),
            "log_tail": self.logs,
            "task_arn": str(self.task.get("taskArn", "")),
        }


def is_logged(registration: Mapping[str, Any]) -> bool:
    """Whether the output of a container goes anywhere."""
    return any(each.get("logConfiguration") for each in registration.get("containerDefinitions") or [])


def container_logs(task: Task, *, aws: Aws, registration: Mapping[str, Any]) -> str:
    """The ends of all containers' logs, the sidecar's last."""
    task_id = str(task.get("taskArn", "")).rpartition("/")[2]
    containers = sorted(
        registration.get("containerDefinitions") or [], key=lambda each: each["name"] == SIDECAR_CONTAINER
    )
    tails = {each["name"]: log_tail(aws, each, task_id) for each in containers}
    return "\n".join(f"[{name}]\n{text}" for name, text in tails.items() if text)

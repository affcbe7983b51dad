"""Why a task ended, or could not start: one classification for all the ways in which ECS may say so.

A launch fails as an exception, as ``failures[]`` in the answer, as a task that is STOPPED a moment later, or as one
that is MISSING when asked for. What is said there is prose, and much of it is ambiguous:

- ``EssentialContainerExited`` says nothing by itself. A reserved exit code of the container that holds the clock means
  that the task's time was over; a container whose reason is ``OutOfMemoryError`` was killed for memory, whatever its
  exit code. Exit code 137 alone proves nothing: anybody may have sent SIGKILL.
- ``TaskFailedToStart`` covers a wrong image, a missing secret, and Fargate's own trouble. Only its reason tells which.
- a vCPU quota reads like missing capacity, but waiting does not help.
- ``UserInitiated`` is whoever called StopTask, ourselves included.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pytest_fargate_sandbox.leaves.names import EXIT_EXPIRED, LOCAL_CLUSTER, LOST_HOLDER, SIDECAR_CONTAINER, Cause
from pytest_fargate_sandbox.providers.aws.reasons import reason_of, spoken

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.errors import StartError

Task = Mapping[str, Any]
"""A task as DescribeTasks gives it."""


ENGINE_ENDED: Final = "EngineEnded"
"""The stop code that no ECS gives: nobody is left there to ask."""


@dataclass(frozen=True)
class Verdict:
    """What a reason means: its cause, whether trying again can help, and what to do."""

    cause: str
    transient: bool = False
    remedy: str = ""
    remedy_on_local: str | None = None
    """What to do on the embedded engine, which says most of it itself, and has no roles to check; None: the same."""
    passes_in: float = math.inf
    """Seconds in which it has passed, if it passes at all."""

    def advice(self, cluster: str) -> str:
        """What to do, by the name or the ARN of the cluster."""
        is_local = cluster.rpartition("/")[2] == LOCAL_CLUSTER
        return self.remedy if self.remedy_on_local is None or not is_local else self.remedy_on_local


# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
_STOP_CODES: Final = {
    ENGINE_ENDED: Verdict(Cause.ENGINE_LOST, transient=True),
    "SpotInterruption": Verdict(Cause.SPOT_RECLAIMED, transient=True),
    "TerminationNotice": Verdict(Cause.INFRASTRUCTURE, transient=True),
    "InfrastructureHealth": Verdict(Cause.INFRASTRUCTURE, transient=True),
    "UserInitiated": Verdict(Cause.STOPPED_BY_USER),
    "ServiceSchedulerInitiated": Verdict(Cause.STOPPED_BY_USER),
    "EssentialContainerExited": Verdict(Cause.ESSENTIAL_EXITED),
    "TaskFailedToStart": Verdict(Cause.START_FAILED),
}

_MAY_PASS: Final = frozenset({Cause.QUOTA, Cause.CAPACITY, Cause.THROTTLED, Cause.SPOT_RECLAIMED})
_OF_ALL: Final = frozenset({Cause.PULL_FAILED, Cause.START_FAILED, Cause.REFUSED})

STOPPED_BY_OWNER: Final = "stopped by its owner"
"""What we give ECS as the reason when a sandbox's own ``stop()`` ends it."""

_REMEDIES: Final[Mapping[str, tuple[str, str | None]]] = {
    Cause.OUT_OF_MEMORY: ("give the task more `memory`", None),
    Cause.SPOT_RECLAIMED: ("FARGATE_SPOT may take a task back at any time: run it again, or on FARGATE", None),
    Cause.EXPIRED: ("raise `max_task_lifetime_sec`", None),
    Cause.STOPPED_BY_USER: (
        "somebody called StopTask; `aws ecs describe-tasks` and CloudTrail tell more",
        "somebody called StopTask, or `fargate-sandbox stop`",
    ),
}
"""In an account, and on the embedded engine where that is something else."""


def judge_reason(reason: str) -> Verdict:
    """What ECS means, in ``failures[]``, an exception (``Code: text``), or a task's ``stoppedReason``."""
    known = reason_of(*spoken(reason))
    if known is None:
        return Verdict(Cause.UNKNOWN)
    remedy = "" if "{" in known.remedy else known.remedy  # it speaks of a call, whose error has it
    return Verdict(known.cause, known.transient, remedy, known.on_local, known.passes_in)


def judge_stop(task: Task, *, clock: str = SIDECAR_CONTAINER) -> Verdict:
    """Why ``task`` stopped, or is stopping. ``clock`` is the container that holds its time to live."""
    code, told = str(task.get("stopCode") or ""), judge_reason(stop_reason(task))
    if code != "UserInitiated" and LOST_HOLDER in stop_reason(task):
        return Verdict(Cause.ENGINE_LOST, transient=True)
    if code == "UserInitiated" and stop_reason(task).startswith(STOPPED_BY_OWNER):
        return Verdict(Cause.STOPPED_BY_USER, remedy="`stop()` was called here while the sandbox was still in use")
    if code != "UserInitiated" and exit_codes(task).get(clock) == EXIT_EXPIRED:
        return _with_remedy(Verdict(Cause.EXPIRED))
    # A child of the container's may have been killed for memory long before the end, which has its own cause.
    if code != "UserInitiated" and any("OutOfMemory" in str(each.get("reason")) for each in _containers(task)):
        return _with_remedy(Verdict(Cause.OUT_OF_MEMORY))
    if code in ("", "TaskFailedToStart") and told.cause != Cause.UNKNOWN:
        return told
    return _with_remedy(_STOP_CODES.get(code, told))


def holds_for_all(error: StartError) -> bool:
    """Whether another task of the same kind would not start either, as far as a failed start shows."""
    if error.cause in _MAY_PASS:
        return False
    if error.task_arn and error.cause == Cause.NETWORK:
        return True
    if error.transient:
        return False
    if not error.task_arn:  # it was refused when it was asked for, as all are that are alike
        return True
    # By its reason, not by its stop code: TaskFailedToStart is what Fargate's own trouble has as well.
    return judge_reason(error.reason).cause in _OF_ALL


def stop_reason(task: Task) -> str:
    """Everything that ECS says about the end: of the task, then of its containers."""
    said = [str(task.get("stoppedReason") or "")]
    for container in _containers(task):
        reason = str(container.get("reason") or "")
        if reason and reason not in said[0]:
            said.append(f"{container.get('name')}: {reason}")
    return "; ".join(each for each in said if each)


def exit_codes(task: Task) -> dict[str, int | None]:
    return {str(container.get("name")): container.get("exitCode") for container in _containers(task)}


def is_ending(task: Task) -> bool:
    """Whether the task is on its way out. ECS says why already then, before it is STOPPED."""
    return task.get("desiredStatus") == "STOPPED" or task.get("lastStatus") in (
        "DEACTIVATING",
        "STOPPING",
        "DEPROVISIONING",
        "STOPPED",
    )


def is_over(task: Task) -> bool:
    return task.get("lastStatus") == "STOPPED"


def _with_remedy(verdict: Verdict) -> Verdict:
    remedy, on_local = _REMEDIES.get(verdict.cause, ("", None))
    return verdict if verdict.remedy else Verdict(verdict.cause, verdict.transient, remedy, on_local)


def _containers(task: Task) -> list[Mapping[str, Any]]:
    return list(task.get("containers") or [])

"""One classification for every way in which ECS says that a task failed."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_fargate_sandbox.leaves.names import EXIT_EXPIRED, LOST_HOLDER, SIDECAR_CONTAINER, Cause
from pytest_fargate_sandbox.sandbox.task.causes import (
    STOPPED_BY_OWNER,
    exit_codes,
    is_ending,
    judge_reason,
    judge_stop,
    stop_reason,
)
from pytest_fargate_sandbox.sandbox.task.diagnosis import Diagnosis


def _stopped(code: str = "", reason: str = "", *containers: dict[str, Any]) -> dict[str, Any]:
    return {"lastStatus": "STOPPED", "stopCode": code, "stoppedReason": reason, "containers": list(containers)}


def _main(**fields: Any) -> dict[str, Any]:
    return {"name": "main", **fields}


ENDS = [
    (
        _stopped(
            "EssentialContainerExited",
            "Essential container in task exited",
            _main(exitCode=137, reason="OutOfMemoryError: Container killed due to memory usage"),
        ),
        Cause.OUT_OF_MEMORY,
    ),
    (
        _stopped("EssentialContainerExited", "Essential container in task exited", _main(exitCode=137)),
        Cause.ESSENTIAL_EXITED,
    ),
    (
        _stopped("EssentialContainerExited", "Essential container in task exited", _main(exitCode=1)),
        Cause.ESSENTIAL_EXITED,
    ),
    (
        _stopped(
            "EssentialContainerExited",
            "Essential container in task exited",
            _main(exitCode=137),
            {"name": SIDECAR_CONTAINER, "exitCode": EXIT_EXPIRED},
        ),
        Cause.EXPIRED,
    ),
    (_stopped("EssentialContainerExited", "", _main(exitCode=EXIT_EXPIRED)), Cause.ESSENTIAL_EXITED),
    (
        _stopped(
            "EssentialContainerExited",
            "Essential container in task exited",
            _main(exitCode=137, reason="OutOfMemoryError: Container killed due to memory usage"),
            {"name": SIDECAR_CONTAINER, "exitCode": EXIT_EXPIRED},
        ),
        Cause.EXPIRED,
    ),
    (
        _stopped("UserInitiated", "Task stopped by user", _main(reason="OutOfMemoryError: killed earlier")),
        Cause.STOPPED_BY_USER,
    ),
    (
        _stopped("EssentialContainerExited", "Essential container in task exited", _main(reason=LOST_HOLDER)),
        Cause.ENGINE_LOST,
    ),
    (_stopped("TaskFailedToStart", f"CannotStartContainerError: {LOST_HOLDER}: unknown"), Cause.ENGINE_LOST),
    (_stopped("TerminationNotice", "ECS is performing maintenance"), Cause.INFRASTRUCTURE),
    (_stopped("InfrastructureHealth", "The underlying infrastructure is unhealthy"), Cause.INFRASTRUCTURE),
    (_stopped("SpotInterruption", "Your Spot Task was interrupted."), Cause.SPOT_RECLAIMED),
    (_stopped("UserInitiated", "Task stopped by user"), Cause.STOPPED_BY_USER),
    (_stopped("ServiceSchedulerInitiated", "Scaling activity initiated"), Cause.STOPPED_BY_USER),
    (
        _stopped(
            "TaskFailedToStart", "CannotPullContainerError: pull image manifest has been retried 1 time(s): not found"
        ),
        Cause.PULL_FAILED,
    ),
    (
        _stopped(
            "TaskFailedToStart",
            "Task failed to start",
            _main(reason='CannotStartContainerError: exec: "/nope": no such file or directory'),
        ),
        Cause.START_FAILED,
    ),
    (
        _stopped(
            "TaskFailedToStart", "ResourceInitializationError: unable to pull secrets or registry auth: GetSecretValue"
        ),
        Cause.START_FAILED,
    ),
    (_stopped("TaskFailedToStart", "Capacity is unavailable at this time. Please try again later"), Cause.CAPACITY),
    (
        _stopped("TaskFailedToStart", "Timeout waiting for network interface provisioning to complete."),
        Cause.NETWORK,
    ),
    (_stopped("", "ECS does not know the task any more (MISSING)"), Cause.UNKNOWN),
    (_stopped(), Cause.UNKNOWN),
]


@pytest.mark.parametrize(("task", "cause"), ENDS)
def test_a_stopped_task_has_one_cause(task: dict[str, Any], cause: str) -> None:
    assert judge_stop(task).cause == cause


@pytest.mark.parametrize(
    ("reason", "cause", "transient"),
    [
        ("RESOURCE:FARGATE", Cause.CAPACITY, True),
        ("RESOURCE:ENI", Cause.CAPACITY, True),
        (
            "Capacity is unavailable at this time. Please try again later or in a different availability zone",
            Cause.CAPACITY,
            True,
        ),
        ("ThrottlingException: Rate exceeded", Cause.THROTTLED, True),
        ("TooManyRequestsException: ", Cause.THROTTLED, True),
        ("RequestLimitExceeded", Cause.THROTTLED, True),
        ("ServiceUnavailable", Cause.CAPACITY, True),
        ("You've reached the limit on the number of vCPUs you can run concurrently", Cause.QUOTA, False),
        ("CannotPullContainerError: Error response from daemon", Cause.PULL_FAILED, False),
        ("CannotPullContainerError: toomanyrequests: You have reached your pull rate limit", Cause.THROTTLED, True),
        ("InvalidParameterException: The subnet ID 'subnet-1' does not exist", Cause.REFUSED, False),
        ("AccessDeniedException: User is not authorized", Cause.REFUSED, False),
        ("", Cause.UNKNOWN, False),
    ],
)
def test_a_reason_tells_whether_trying_again_can_help(reason: str, cause: str, transient: bool) -> None:
    verdict = judge_reason(reason)
    assert (verdict.cause, verdict.transient) == (cause, transient)


@pytest.mark.parametrize("cause", [Cause.OUT_OF_MEMORY, Cause.EXPIRED, Cause.SPOT_RECLAIMED, Cause.STOPPED_BY_USER])
def test_every_end_that_a_user_can_do_something_about_says_what(cause: str) -> None:
    task = next(task for task, expected in ENDS if expected == cause)
    assert judge_stop(task).remedy


def test_our_own_stop_blames_nobody_else() -> None:
    verdict = judge_stop(_stopped("UserInitiated", STOPPED_BY_OWNER))
    assert verdict.cause == Cause.STOPPED_BY_USER
    assert "`stop()`" in verdict.remedy
    assert "CloudTrail" not in verdict.remedy


def test_a_task_is_ending_before_it_is_stopped() -> None:
    assert is_ending({"lastStatus": "RUNNING", "desiredStatus": "STOPPED"})
    assert is_ending({"lastStatus": "DEPROVISIONING", "desiredStatus": "RUNNING"})
    assert not is_ending({"lastStatus": "PENDING", "desiredStatus": "RUNNING"})


def test_the_reason_names_containers_that_say_more_than_the_task() -> None:
    task = _stopped(
        "TaskFailedToStart", "it failed: no disk", _main(reason="no disk"), {"name": "other", "reason": "no luck"}
    )
    assert stop_reason(task) == "it failed: no disk; other: no luck"
    assert exit_codes(task) == {"main": None, "other": None}


@pytest.mark.parametrize(("cluster", "is_told"), [("local", False), ("bench", True)])
def test_what_is_done_on_aws_alone_is_not_advised_for_a_task_on_this_machine(cluster: str, is_told: bool) -> None:
    task = {
        "taskArn": f"arn:aws:ecs:us-east-1:123456789012:task/{cluster}/1",  # all that is known of one launched ahead
        "lastStatus": "STOPPED",
        "stopCode": "TaskFailedToStart",
        "stoppedReason": "CannotPullContainerError: not found",
    }
    told = Diagnosis(task, judge_stop(task), logs="", is_logged=True).sentence
    assert ("execution role" in told) == is_told

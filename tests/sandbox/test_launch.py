"""RunTask: its parameters, its token, and what is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.leaves.errors import ConfigError, StartError, StartTimeout
from pytest_fargate_sandbox.leaves.names import TAG_OWNER, Cause
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.sandbox.task.launch import Attempts, run_request, run_task, started_by
from pytest_fargate_sandbox.sandbox.task.registration import registered
from tests.sandbox.scripted_ecs import LOST, ScriptedEcs, refusal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TASK = {"taskArn": "arn:aws:ecs:us-east-1:123456789012:task/c/1"}
PLACED = {"tasks": [TASK], "failures": []}
NO_ROOM = {"tasks": [], "failures": [{"reason": "RESOURCE:FARGATE"}]}

Script = "Callable[..., ScriptedEcs]"


def _request(**fields: Any) -> dict[str, Any]:
    cfg = EcsFargateConfig(**{"cluster": "c", "subnets": ["subnet-1"], **fields})
    return run_request(cfg, task_definition="arn:1", overrides={"main": {"A": "1"}}, tags={"a": "b"}, owner="me")


def _run(ecs: ScriptedEcs, notes: Path, attempts: int = 5) -> dict[str, Any]:
    return run_task(ecs.aws(notes), _request(), Attempts(attempts), patience_sec=60, sleep=lambda _seconds: None)


def _tokens(ecs: ScriptedEcs) -> list[str]:
    return [request["clientToken"] for request in ecs.asked("RunTask")]


def test_each_attempt_has_a_token_of_its_own(script: Callable[..., ScriptedEcs], tmp_path: Path) -> None:
    ecs = script(RunTask=[NO_ROOM, refusal("ThrottlingException", "Rate exceeded"), PLACED])
    assert _run(ecs, tmp_path) == TASK
    assert len(set(_tokens(ecs))) == 3
    assert all(len(token) <= 64 for token in _tokens(ecs))


def test_after_a_lost_answer_the_same_token_asks_for_the_same_task(
    script: Callable[..., ScriptedEcs], tmp_path: Path
) -> None:
    ecs = script(RunTask=[LOST, PLACED])
    assert _run(ecs, tmp_path) == TASK
    assert len(_tokens(ecs)) == 2
    assert len(set(_tokens(ecs))) == 1


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (NO_ROOM, Cause.CAPACITY),
        (refusal("ClientException", "Capacity is unavailable at this time. Please try again later"), Cause.CAPACITY),
        (refusal("ThrottlingException", "Rate exceeded"), Cause.THROTTLED),
        (refusal("ServerException", "Service Unavailable"), Cause.INFRASTRUCTURE),
    ],
)
def test_what_passes_is_tried_again_up_to_the_limit(
    script: Callable[..., ScriptedEcs], tmp_path: Path, answer: Any, cause: str
) -> None:
    ecs = script(RunTask=[answer])
    with pytest.raises(StartError) as caught:
        _run(ecs, tmp_path, attempts=4)
    assert caught.value.transient
    assert caught.value.cause == cause
    assert len(ecs.asked("RunTask")) == 5


def test_what_never_passes_ends_with_its_time_and_is_told_on_the_way(
    script: Callable[..., ScriptedEcs], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ecs = script(RunTask=[NO_ROOM])
    refusals: list[StartError] = []
    attempts = Attempts(99)
    with pytest.raises(StartTimeout, match=r"ECS was asked \d+ times in 6 s \(`startup_timeout_sec`\)") as caught:
        run_task(
            ecs.aws(tmp_path),
            _request(),
            attempts,
            patience_sec=6,
            after_refusal=refusals.append,
            sleep=lambda _seconds: None,
        )
    assert caught.value.transient
    assert caught.value.cause == Cause.CAPACITY
    assert attempts.left == 0, "no other launch of this start has another go at it"
    assert [each.cause for each in refusals] == [Cause.CAPACITY] * (len(ecs.asked("RunTask")) - 1)
    assert any("RunTask was refused" in told and "RESOURCE:FARGATE" in told for told in caplog.messages)


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (refusal("ClusterNotFoundException", "Cluster not found."), "no ECS cluster 'c'"),
        (refusal("InvalidParameterException", "The subnet ID 'subnet-1' does not exist"), "check `subnets` (subnet-1)"),
        (
            refusal("InvalidParameterException", "Error retrieving security group information for [sg-1]"),
            "`security_groups`",
        ),
        (refusal("ClientException", "ECS was unable to assume the role 'arn:x'"), "`execution_role_arn`"),
        (refusal("InvalidParameterException", "The specified capacity provider was not found"), "`capacity_provider`"),
        (refusal("ExpiredTokenException", "The security token included in the request is expired"), "have expired"),
        (
            refusal("UnrecognizedClientException", "The security token included in the request is invalid."),
            "check them",
        ),
        (
            refusal(
                "AccessDeniedException",
                "User: arn:aws:iam::1:user/me is not authorized to perform: iam:PassRole on resource: arn:x",
            ),
            "lack the IAM action iam:PassRole",
        ),
        (refusal("AccessDeniedException", ""), "lack the IAM action ecs:RunTask"),
        (
            refusal("ThrottlingException", "You've reached the limit on the number of vCPUs you can run concurrently"),
            "Service Quotas",
        ),
        (
            {
                "tasks": [],
                "failures": [{"reason": "You've reached the limit on the number of vCPUs you can run concurrently"}],
            },
            "Service Quotas",
        ),
    ],
)
def test_what_does_not_pass_is_told_at_once_with_the_remedy(
    script: Callable[..., ScriptedEcs], tmp_path: Path, answer: Any, remedy: str
) -> None:
    ecs = script(RunTask=[answer])
    with pytest.raises(StartError) as caught:
        _run(ecs, tmp_path)
    assert remedy in str(caught.value)
    assert not caught.value.transient
    assert caught.value.phase == "launch"
    assert len(ecs.asked("RunTask")) == 1


def test_a_role_of_ecs_that_is_being_made_is_waited_for_a_moment_and_one_that_is_not_there_is_told(
    script: Callable[..., ScriptedEcs], tmp_path: Path
) -> None:
    now = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def launched(*answers: Any) -> dict[str, Any]:
        aws = script(RunTask=list(answers)).aws(tmp_path)
        return run_task(aws, _request(), Attempts(30), patience_sec=300, sleep=sleep, clock=lambda: now)

    no_role = refusal("InvalidParameterException", "Unable to assume the service linked role. Please verify that …")
    assert launched(no_role, no_role, PLACED) == TASK
    now = 0.0
    with pytest.raises(StartError, match="create-service-linked-role --aws-service-name") as caught:
        launched(no_role)
    assert 15 < now < 30
    assert not caught.value.transient


def test_what_the_account_has_no_room_for_is_asked_for_again_when_somebody_has_waited_for_room(
    script: Callable[..., ScriptedEcs], tmp_path: Path
) -> None:
    full = {"tasks": [], "failures": [{"reason": "You\u2019ve reached the limit on the number of tasks you can run"}]}
    too_big = refusal("ThrottlingException", "The requested CPU configuration is above your limit")
    ecs = script(RunTask=[full, too_big, PLACED])
    asked: list[str] = []

    def may_wait(failure: StartError) -> bool:
        asked.append(failure.cause)
        return True

    task = run_task(ecs.aws(tmp_path), _request(), Attempts(0), patience_sec=60, may_wait=may_wait)
    assert task == TASK
    assert asked == [Cause.QUOTA, Cause.QUOTA]
    assert len(set(_tokens(ecs))) == 3


def test_an_endpoint_that_nobody_listens_at_is_told_in_seconds(tmp_path: Path) -> None:
    ecs = ScriptedEcs()
    ecs.close()
    with pytest.raises(StartError, match=r"http://127\.0\.0\.1:\d+ right"):
        _run(ecs, tmp_path, attempts=30)


def test_an_interrupted_launch_leaves_no_task(script: Callable[..., ScriptedEcs], tmp_path: Path) -> None:
    """Whoever presses Ctrl-C in the middle of RunTask does not know whether there is a task. ECS does."""
    ecs = script(RunTask=[PLACED], StopTask=[{"task": TASK}])
    aws = ecs.aws(tmp_path)
    client = aws.client("ecs")

    def interrupt(**_: Any) -> None:
        client.meta.events.unregister("after-call.ecs.RunTask", interrupt)
        raise KeyboardInterrupt

    client.meta.events.register("after-call.ecs.RunTask", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_task(aws, _request(), Attempts(0), patience_sec=60)
    assert len(set(_tokens(ecs))) == 1
    assert ecs.asked("StopTask")[0]["task"] == TASK["taskArn"]


def test_a_launch_type_or_a_provider_but_never_both() -> None:
    assert _request()["launchType"] == "FARGATE"
    spot = _request(capacity_provider="FARGATE_SPOT")
    assert "launchType" not in spot
    assert spot["capacityProviderStrategy"] == [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]


def test_started_by_is_constant_for_an_owner_and_fits_ecs() -> None:
    owner = "arn:aws:sts::123456789012:assumed-role/" + "x" * 200
    assert started_by(owner) == started_by(owner)
    assert len(started_by(owner)) == 128
    assert started_by("a:b") == "fargate-sandbox/a-b"


def test_tags_hold_only_what_aws_takes() -> None:
    cfg = EcsFargateConfig(cluster="c", subnets=["s"], tags={"team": "é[1]"})
    request = run_request(cfg, task_definition="d", overrides={}, tags={"test": "a.py::t[x-1]" + "y" * 300}, owner="o")
    values = {tag["key"]: tag["value"] for tag in request["tags"]}
    assert values["team"] == "é_1_"
    assert values["test"].startswith("a.py::t_x-1_yyy")
    assert len(values["test"]) == 256


def test_too_many_overrides_are_refused_before_the_call() -> None:
    cfg = EcsFargateConfig(cluster="c", subnets=["s"])
    with pytest.raises(ConfigError, match="8192"):
        run_request(cfg, task_definition="d", overrides={"main": {"A": "x" * 8192}}, tags={}, owner="o")


def test_no_subnet_is_refused_before_the_call() -> None:
    with pytest.raises(ConfigError, match="`subnets` is empty"):
        _request(subnets=[])


def test_of_many_that_register_a_family_at_once_all_come_to_know_it(
    script: Callable[..., ScriptedEcs], tmp_path: Path
) -> None:
    unknown = refusal("ClientException", "Unable to describe task definition.")
    others = refusal(
        "ClientException", "Too many concurrent attempts to create a new revision of the specified family."
    )
    theirs = {"taskDefinition": {"taskDefinitionArn": "arn:theirs", "status": "ACTIVE"}}
    ecs = script(DescribeTaskDefinition=[unknown, unknown, theirs], RegisterTaskDefinition=[others])
    assert registered(ecs.aws(tmp_path), {"family": "f", "containerDefinitions": []}, "me") == "arn:theirs"
    assert len(ecs.asked("RegisterTaskDefinition")) == 2


def test_a_registration_that_is_refused_for_good_is_not_tried_again(
    script: Callable[..., ScriptedEcs], tmp_path: Path
) -> None:
    unknown = refusal("ClientException", "Unable to describe task definition.")
    refused = refusal("ClientException", "No Fargate configuration exists for given values.")
    ecs = script(DescribeTaskDefinition=[unknown], RegisterTaskDefinition=[refused])
    with pytest.raises(AwsError, match="in pairs only"):
        registered(ecs.aws(tmp_path), {"family": "f", "containerDefinitions": []}, "me")
    assert len(ecs.asked("RegisterTaskDefinition")) == 1


def test_who_may_not_tag_a_definition_registers_it_without_its_owner(
    script: Callable[..., ScriptedEcs], tmp_path: Path
) -> None:
    unknown = refusal("ClientException", "Unable to describe task definition.")
    refused = refusal("AccessDeniedException", "User: me is not authorized to perform: ecs:TagResource on resource: *")
    ours = {"taskDefinition": {"taskDefinitionArn": "arn:ours", "status": "ACTIVE"}}
    ecs = script(DescribeTaskDefinition=[unknown], RegisterTaskDefinition=[refused, ours])
    assert registered(ecs.aws(tmp_path), {"family": "f", "containerDefinitions": []}, "me: [x]") == "arn:ours"
    first, second = ecs.asked("RegisterTaskDefinition")
    assert first["tags"] == [{"key": TAG_OWNER, "value": "me: _x_"}]
    assert "tags" not in second

"""A kind that cannot come up is found out by one or two launches, and told in full by one test."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox.leaves.errors import ConfigError, ImageBuildError, SandboxError, StartError
from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.run import kind_trial
from pytest_fargate_sandbox.run.kind_notes import Notes
from pytest_fargate_sandbox.sandbox.task.causes import holds_for_all

NO_IMAGE = StartError(
    "could not pull an image: not found\ncheck its name", reason="CannotPullContainerError: not found",
    cause=Cause.PULL_FAILED, task_arn="arn:a", log_tail="much",
)  # fmt: skip
REFUSED = StartError("the task could not be launched: AccessDenied\nask for it", phase="launch", cause="start_failed")


@pytest.fixture
def notes() -> Notes:
    return Notes()


def test_a_second_task_has_to_die_of_the_same_and_then_all_tests_have_the_same_sentence(notes: Notes) -> None:
    assert kind_trial.failed(notes, NO_IMAGE, "test_a") is NO_IMAGE
    assert kind_trial.problem(notes, "test_b") is None
    for told in (kind_trial.failed(notes, NO_IMAGE, "test_b"), kind_trial.problem(notes, "test_c")):
        assert isinstance(told, StartError)
        sentence, note = told.message.splitlines()
        assert sentence == "could not pull an image: not found"
        assert note == "nothing else of its kind is launched in this run; test_a tells the rest"
        assert told.cause == Cause.PULL_FAILED
    told = kind_trial.problem(notes, "test_a")
    assert told is not None
    assert told.message == NO_IMAGE.message, "its next attempt has to tell it again"


def test_of_two_that_were_launched_at_once_the_second_settles_it_where_it_died_of_what_holds_for_all(
    notes: Notes,
) -> None:
    assert not kind_trial.one_has_died(notes), "nothing has yet"
    notes["died"] = 1
    assert kind_trial.tried(notes) == 1
    assert kind_trial.one_has_died(notes)
    assert holds_for_all(NO_IMAGE)
    kind_trial.failed(notes, NO_IMAGE, "test_a", is_second=True)
    assert kind_trial.is_hopeless(notes)


def test_what_is_refused_when_it_is_asked_for_is_refused_to_all(notes: Notes) -> None:
    kind_trial.failed(notes, REFUSED, None)  # launched ahead, for nobody yet
    first, second = kind_trial.problem(notes, "test_a"), kind_trial.problem(notes, "test_b")
    assert first is not None
    assert second is not None
    assert first.message == REFUSED.message
    assert second.message.endswith("test_a tells the rest")


def test_a_start_that_found_no_way_to_the_image_has_tried_twice_and_no_other_need(notes: Notes) -> None:
    no_way = StartError("no such host", cause=Cause.NETWORK, transient=True, task_arn="arn:b")
    assert kind_trial.failed(notes, no_way, "test_a") is no_way
    told = kind_trial.problem(notes, "test_b")
    assert isinstance(told, StartError)
    assert not told.transient, "to run test_b again is of no use"


@pytest.mark.parametrize(
    "error",
    [
        StartError("EOF", reason="CannotPull: EOF", cause=Cause.PULL_FAILED, transient=True, task_arn="arn:a"),
        StartError("the vCPU quota is used up", phase="launch", cause=Cause.QUOTA),
        StartError("could not start", reason="Task failed to start", cause=Cause.START_FAILED, task_arn="arn:a"),
        StartError("exited", reason="Essential container", cause=Cause.ESSENTIAL_EXITED, task_arn="arn:a"),
        ConfigError("wrong"),
    ],
    ids=lambda error: error.message,
)
def test_what_may_pass_or_concern_one_alone_is_held_against_none(notes: Notes, error: SandboxError) -> None:
    for test in ("test_a", "test_b", "test_c"):
        assert kind_trial.failed(notes, error, test) is error
        assert kind_trial.problem(notes, test) is None
    assert notes["open"], "nobody has to wait for another to come up first"


def test_where_one_has_come_up_nothing_is_wrong_with_the_kind(notes: Notes) -> None:
    kind_trial.came_up(notes)
    for test in ("test_a", "test_b", "test_c"):
        assert kind_trial.failed(notes, NO_IMAGE, test) is NO_IMAGE
    assert kind_trial.problem(notes, "test_d") is None


def test_an_image_that_could_not_be_built_is_told_in_full_by_the_first_test_alone(notes: Notes) -> None:
    no_build = ImageBuildError("the build of app failed", phase="BUILD", log_tail="E: no such package")
    assert kind_trial.not_built(notes, no_build, "test_a") is no_build
    assert kind_trial.not_built(notes, no_build, "test_a") is no_build, "when it is run again"
    told = kind_trial.not_built(notes, no_build, "test_b")
    assert isinstance(told, ImageBuildError)
    assert str(told).splitlines() == ["the build of app failed", "test_a tells the rest"]


def test_a_directory_that_is_mended_meanwhile_is_launched_and_what_is_wrong_with_it_now_is_told(notes: Notes) -> None:
    kind_trial.not_built(notes, ImageBuildError("the build of app failed", log_tail="E: no such package"), "test_a")
    assert kind_trial.problem(notes, "test_b") is None
    another = ImageBuildError("the build of app failed", log_tail="E: a syntax error")
    assert kind_trial.not_built(notes, another, "test_b") is another

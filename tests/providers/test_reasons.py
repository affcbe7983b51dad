"""What AWS says, row by row: each way of saying it is known by an example, and says what to do where that can help."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.providers.aws.aws_errors import Call, mapped
from pytest_fargate_sandbox.providers.aws.reasons import REASONS, Reason, reason_of, spoken
from pytest_fargate_sandbox.providers.aws.reasons_page import table

PAGE = Path(__file__).parents[2] / "docs" / "aws.md"
CAUSES = {value for name, value in vars(Cause).items() if name.isupper()}


def test_there_are_many() -> None:
    assert len(REASONS) >= 60


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.example)
def test_a_row_knows_what_aws_says(reason: Reason) -> None:
    assert reason_of(*spoken(reason.example)) is reason, "a row before it fits as well"
    assert reason.cause in CAUSES
    assert reason.source.startswith("https://docs.aws.amazon.com/")
    assert reason.transient or reason.remedy, "neither waits nor says what to do"


@pytest.mark.parametrize("reason", [each for each in REASONS if each.code], ids=lambda reason: reason.example)
def test_an_exception_says_what_to_do_and_names_what_it_is_about(reason: Reason) -> None:
    from botocore.exceptions import ClientError

    code, text = spoken(reason.example)
    parameters = {"cluster": "bench", "SecretId": "s", "Name": "n", "Bucket": "b"}
    error = mapped(
        ClientError({"Error": {"Code": code, "Message": text}}, "RunTask"),
        Call("ecs", "RunTask", "eu-west-1", None, parameters),
    )
    assert error.transient == reason.transient
    assert "{" not in str(error)
    assert bool(reason.remedy) == ("\n" in str(error))


@pytest.mark.parametrize(
    ("said", "cause", "transient"),
    [
        ("RESOURCE:FARGATE", Cause.CAPACITY, True),
        ("CannotPullContainerError: unexpected EOF", Cause.PULL_FAILED, True),
        ("CannotPullContainerError: unexpected status code 502 Bad Gateway", Cause.PULL_FAILED, True),
        ("CannotPullContainerError: unexpected status code 503 Service Unavailable", Cause.PULL_FAILED, True),
        ("CannotPullContainerError: read: connection reset by peer", Cause.PULL_FAILED, True),
        ("CannotPullContainerError: manifest unknown", Cause.PULL_FAILED, False),
        ("CannotPullContainerError: no basic auth credentials", Cause.PULL_FAILED, False),
        (
            "ResourceInitializationError: The task cannot pull registry auth from ECR: There is a connection issue",
            Cause.NETWORK,
            True,
        ),
        ("Timeout waiting for EphemeralStorage provisioning to complete.", Cause.START_FAILED, True),
        (
            "ResourceInitializationError: unable to retrieve secret from asm: RequestCanceled: context canceled",
            Cause.NETWORK,
            True,
        ),
        (
            "ContainerRuntimeError: failed to create container IO tasks: context deadline exceeded",
            Cause.INFRASTRUCTURE,
            True,
        ),
        ("something that nobody has met", None, False),
    ],
)
def test_other_words_for_it_are_known_too(said: str, cause: str | None, transient: bool) -> None:
    known = reason_of(*spoken(said))
    assert (known.cause if known else None, bool(known and known.transient)) == (cause, transient)


def test_the_page_shows_them_all() -> None:
    shown = re.search(r"<!-- reasons: .*?-->\n(.*?)<!-- end of reasons -->", PAGE.read_text(), re.DOTALL)
    assert shown
    assert shown.group(1) == table(), "python -m pytest_fargate_sandbox.providers.aws.reasons_page makes it"

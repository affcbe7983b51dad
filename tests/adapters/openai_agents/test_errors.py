"""Our errors in the SDK's words, and which of them are worth another try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agents.sandbox.errors import (
    ConfigurationError,
    ErrorCode,
    ExecTimeoutError,
    ExecTransportError,
    WorkspaceArchiveReadError,
    WorkspaceReadNotFoundError,
    WorkspaceRootNotFoundError,
    WorkspaceStartError,
)

from pytest_fargate_sandbox import (
    ConfigError,
    FileTimeout,
    ImageBuildError,
    RemoteFileError,
    RemoteFileNotFound,
    SandboxError,
    SandboxLost,
    StartError,
    StartTimeout,
    TransportError,
    UnknownUser,
)
from pytest_fargate_sandbox.adapters.agents_errors import exec_error, is_worth_another_try, read_error, start_error
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError

ROOT = Path("/workspace")
ROOT_IS_GONE = ErrorCode.WORKSPACE_ROOT_NOT_FOUND


@pytest.mark.parametrize(
    ("error", "kind", "retryable"),
    [
        (StartError("no room", transient=True), WorkspaceStartError, True),
        (StartError("no image"), WorkspaceStartError, False),
        (StartTimeout("took too long", transient=True), WorkspaceStartError, True),
        (ImageBuildError("no build"), WorkspaceStartError, False),
        (AwsError("throttled", transient=True), WorkspaceStartError, True),
        (AwsError("denied"), WorkspaceStartError, False),
        (ConfigError("cpu=3", key="cpu"), ConfigurationError, False),
    ],
)
def test_what_keeps_a_session_from_starting(error: SandboxError, kind: type[Exception], retryable: bool) -> None:
    told: Any = start_error(error, ROOT)
    assert type(told) is kind
    assert (str(told), told.cause, told.retryable, told.op) == (str(error), error, retryable, "start")
    assert told.context["backend"] == "fargate"


@pytest.mark.parametrize(
    ("error", "kind", "code", "retryable"),
    [
        (TransportError("broke"), ExecTransportError, ErrorCode.EXEC_TRANSPORT_ERROR, True),
        (TransportError("lies", kind="misbehaved"), ExecTransportError, ErrorCode.EXEC_TRANSPORT_ERROR, False),
        (SandboxLost("died", cause="oom"), ExecTransportError, ErrorCode.EXEC_TRANSPORT_ERROR, False),
        (UnknownUser("who?"), ExecTransportError, ErrorCode.EXEC_TRANSPORT_ERROR, False),
        (SandboxError("odd"), ExecTransportError, ErrorCode.EXEC_TRANSPORT_ERROR, None),
        (TimeoutError("late"), ExecTimeoutError, ErrorCode.EXEC_TIMEOUT, False),
        (RemoteFileNotFound("gone", path="/workspace"), WorkspaceRootNotFoundError, ROOT_IS_GONE, False),
    ],
)  # fmt: skip
def test_what_keeps_a_command_from_its_end(
    error: Exception, kind: type, code: ErrorCode, retryable: bool | None
) -> None:
    told: Any = exec_error(error, ["make", "it"], seconds=3, root="/workspace")
    assert type(told) is kind
    assert (told.error_code, told.retryable, told.cause) == (code, retryable, error)
    if isinstance(error, SandboxLost):
        assert told.context["reason"] == "oom"


def test_what_keeps_a_file_from_being_read() -> None:
    assert type(read_error(RemoteFileNotFound("no", path="/x", kind="not_found"), ROOT)) is WorkspaceReadNotFoundError
    told: Any = read_error(RemoteFileError("too much", path="/x", kind="too_large"), ROOT)
    assert type(told) is WorkspaceArchiveReadError
    assert (told.context["reason"], told.context["provider_error"], told.retryable) == ("too_large", "too much", False)
    late: Any = read_error(FileTimeout("late"), ROOT)
    assert late.retryable is True


class Answered(Exception):
    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


@pytest.mark.parametrize(
    ("cause", "is_worth_it"),
    [
        (TransportError("broke"), True),
        (FileTimeout("late"), True),
        (TimeoutError(), True),
        (AwsError("slow down", transient=True), True),
        (ExecTimeoutError(command=["tar"], timeout_s=1), True),
        (Answered(503), True),
        (Answered(404), False),
        (SandboxLost("died"), False),
        (RemoteFileError("full", kind="no_space"), False),
        (None, False),
    ],
)
def test_a_timeout_and_trouble_that_passes_are_worth_another_try(cause: Exception | None, is_worth_it: bool) -> None:
    assert is_worth_another_try(WorkspaceArchiveReadError(path=ROOT, cause=cause)) == is_worth_it

"""Our errors as the OpenAI Agents SDK has them, once for all of its sandboxes' verbs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from agents.sandbox.errors import (
    ConfigurationError,
    ErrorCode,
    ExecTimeoutError,
    ExecTransportError,
    WorkspaceArchiveReadError,
    WorkspaceArchiveWriteError,
    WorkspaceReadNotFoundError,
    WorkspaceRootNotFoundError,
    WorkspaceStartError,
)
from agents.sandbox.util.retry import TRANSIENT_HTTP_STATUS_CODES, exception_chain_has_status_code, iter_exception_chain
from agents.sandbox.workspace_paths import coerce_posix_path, posix_path_as_path

from pytest_fargate_sandbox.leaves.errors import (
    MISBEHAVED,
    ConfigError,
    ImageBuildError,
    RemoteFileError,
    RemoteFileNotFound,
    SandboxError,
    SandboxLost,
    StartError,
    TransportError,
    UnknownUser,
)
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OURS = (SandboxError, TimeoutError, asyncio.TimeoutError)
"""What our verbs raise, and what the clock does. (Two classes until Python 3.11.)"""

_FINAL = (ConfigError, ImageBuildError, RemoteFileError, SandboxLost, UnknownUser)


def is_transient(error: BaseException) -> bool | None:
    """Whether the same may well succeed when it is tried again; None: nobody knows."""
    if isinstance(error, (StartError, AwsError)):
        return bool(error.transient)
    if isinstance(error, TransportError):
        return error.context.get("kind") != MISBEHAVED
    if isinstance(error, _FINAL):
        return False
    return True if isinstance(error, (TimeoutError, asyncio.TimeoutError)) else None


def is_worth_another_try(error: BaseException) -> bool:
    """Whether something below it was a time-out or passing trouble."""
    return exception_chain_has_status_code(error, TRANSIENT_HTTP_STATUS_CODES) or any(
        isinstance(each, ExecTimeoutError) or is_transient(each) for each in iter_exception_chain(error)
    )


def start_error(error: Exception, root: Path) -> Exception:
    """Of a sandbox that did not come up."""
    if isinstance(error, ConfigError):
        return ConfigurationError(
            message=str(error),
            error_code=ErrorCode.SANDBOX_CONFIG_INVALID,
            op="start",
            context=_facts(error),
            cause=error,
            retryable=False,
        )
    return WorkspaceStartError(
        path=root, context=_facts(error), cause=error, message=str(error), retryable=is_transient(error)
    )


def exec_error(error: BaseException, command: Sequence[str | Path], *, seconds: float, root: str) -> Exception:
    """Of a command of which nobody knows how it ended, or that never ran."""
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)) and not isinstance(error, SandboxError):
        return ExecTimeoutError(command=command, timeout_s=seconds, cause=error)
    if isinstance(error, RemoteFileNotFound) and error.path == root:
        return WorkspaceRootNotFoundError(
            path=posix_path_as_path(coerce_posix_path(root)), context=_facts(error), cause=error
        )
    return ExecTransportError(
        command=command, context=_facts(error), cause=error, message=str(error), retryable=is_transient(error)
    )


def read_error(error: BaseException, path: Path) -> Exception:
    if isinstance(error, RemoteFileNotFound):
        return WorkspaceReadNotFoundError(path=path, context=_facts(error), cause=error)
    return WorkspaceArchiveReadError(path=path, context=_facts(error), cause=error, retryable=is_transient(error))


def write_error(error: BaseException, path: Path, **facts: Any) -> Exception:
    return WorkspaceArchiveWriteError(
        path=path, context={**_facts(error), **facts}, cause=error, retryable=is_transient(error)
    )


def _facts(error: BaseException) -> dict[str, object]:
    """What a program may go by, and a person read."""
    context = error.context if isinstance(error, SandboxError) else {}
    reason = str(context.get("kind") or context.get("cause") or context.get("reason") or type(error).__name__)
    return {"backend": "fargate", "reason": reason, "provider_error": str(error)}

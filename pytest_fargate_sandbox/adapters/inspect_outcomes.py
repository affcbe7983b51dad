"""What came of a command or a file, in the words that Inspect has for it."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
)

from pytest_fargate_sandbox.leaves.errors import (
    FileTimeout,
    RemoteFileError,
    RemotePermissionError,
    SandboxError,
    UnknownUser,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.leaves.results import ExecResult as OurResult

CANNOT_RUN = 126
"""What a shell, and ``docker exec``, returns of a command that never was."""

_ERRNO_OF_KIND = {"not_found": errno.ENOENT, "permission": errno.EACCES, "is_directory": errno.EISDIR}


def told(result: OurResult, timeout: float | None) -> ExecResult[str]:
    """Raises what Inspect expects of a command that ran out of time, said too much, or may not be run."""
    said = result.stdout + result.stderr
    if result.timed_out:
        error = TimeoutError(f"Command timed out after {timeout:g} seconds")
        error.truncated_output = said or None  # type: ignore[attr-defined]  # where Inspect looks for it
        raise error
    if result.truncated:
        raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR, said)
    if result.could_not_begin and result.return_code == CANNOT_RUN:
        raise PermissionError(errno.EACCES, said.strip() or os.strerror(errno.EACCES))
    return ExecResult(result.ok, result.return_code, result.stdout, result.stderr)


def not_run(error: SandboxError | ValueError, user: str | None) -> ExecResult[str]:
    """Why a command did not become one. Raises where that is its sandbox's trouble, and no word for a model."""
    if isinstance(error, SandboxError):
        explained = unavailable(error, user)
        if isinstance(explained, SandboxUserUnsupportedError) or not isinstance(error, (UnknownUser, RemoteFileError)):
            raise explained from error
    return ExecResult(False, CANNOT_RUN, "", f"{error}\n")  # its user, its cwd, or more arguments than the kernel takes


def unavailable(error: SandboxError, user: str | None) -> Exception:
    """What Inspect calls it that no command can be had."""
    has_no_such_user = isinstance(error, RemotePermissionError) and user and not error.path
    kind: type[Exception] = SandboxUserUnsupportedError if has_no_such_user else SandboxUnavailableError
    return kind(str(error))


@contextmanager
def file_errors(file: str) -> Iterator[None]:
    """Errors of a file as Python's own, with what Inspect shows a model of them: their text and their file."""
    try:
        yield
    except FileTimeout as error:
        raise TimeoutError(str(error)) from error
    except RemoteFileError as error:
        if error.kind == "too_large":
            raise OutputLimitExceededError(SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR, None) from error
        number = error.errno or _ERRNO_OF_KIND.get(error.kind)
        if number is None:
            raise OSError(str(error)) from error
        raise OSError(number, os.strerror(number), file) from error  # which is a FileNotFoundError, where it says that
    except SandboxError as error:
        raise SandboxUnavailableError(str(error)) from error

"""Trouble in the sandbox of an agent: its own doing, or the infrastructure's.

An agent is root there. It can kill what ends the task, fill memory and disk, and break the server that carries out what
we ask. None of that may count as trouble of the infrastructure's, or who is about to lose would only have to break
something to be tried again. The way in is the sidecar's, a container of its own where the agent has no process: if it
is there and the server behind it is not, that was the agent.
"""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import (
    MISBEHAVED,
    RemoteFileError,
    SandboxBroken,
    SandboxError,
    SandboxLost,
    TransportError,
    UnsafeArchiveError,
)
from pytest_fargate_sandbox.leaves.names import Cause

if TYPE_CHECKING:
    from collections.abc import Iterator

BY_WHAT_RUNS_IN_IT = (Cause.OUT_OF_MEMORY, Cause.ESSENTIAL_EXITED)
"""Why a task ended by the hand of who has a process in it."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def agents_own(sandbox: Any, doing: str) -> Iterator[None]:
    """A block in which the sandbox is the agent's: trouble of its making is ``SandboxBroken``."""
    try:
        yield
    except SandboxBroken:
        raise
    except SandboxError as error:
        why = _why_agents(sandbox, error)
        if why is None:
            raise
        raise SandboxBroken(f"the agent broke its sandbox: {why}, {doing} ({_short(error)})") from error


def _why_agents(sandbox: Any, error: SandboxError) -> str | None:
    """What the agent did; None: it was not the agent."""
    if isinstance(error, SandboxLost):
        return f"the task ended ({error.cause})" if error.cause in BY_WHAT_RUNS_IN_IT else None
    if isinstance(error, UnsafeArchiveError):
        return "its files leave their directory"
    if isinstance(error, RemoteFileError):
        return "the disk is full" if error.errno in _NO_ROOM else f"{error.path} cannot be read or written"
    if isinstance(error, TransportError):
        if error.context.get("kind") == MISBEHAVED:
            return "its server gives answers that no honest one gives"
        return "the server in it does not answer, and its sidecar does" if _only_the_sidecar(sandbox) else None
    return None


def _only_the_sidecar(sandbox: Any) -> bool:
    try:
        sandbox.reconnect_tunnel()
    except (SandboxError, OSError):
        return False
    client = sandbox.exec_client
    return client is not None and not client.health()


def _short(error: SandboxError) -> str:
    return error.message.partition("\n")[0]

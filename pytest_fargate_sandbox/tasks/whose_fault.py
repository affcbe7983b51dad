"""Trouble in the sandbox of an agent: its own doing, or the infrastructure's.

An agent is root there. It can kill what ends the task, fill memory and disk, and break the server that carries out what
we ask. None of that may count as trouble of the infrastructure's, or who is about to lose would only have to break
something to be tried again. The way in is the sidecar's, a container of its own with memory of its own, where the agent
has no process: if it is there and the server behind it is not, that was the agent.
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
    UnknownUser,
    UnsafeArchiveError,
)
from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_BY_WHAT_RUNS_IN_IT = (Cause.OUT_OF_MEMORY, Cause.ESSENTIAL_EXITED)
"""Why a task ended by the hand of who has a process in it."""

_LOOK_SEC = 10.0
_NOT_HIS = "not his"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def agents_own(sandbox: Any, doing: str) -> Iterator[None]:
    """A block in which the sandbox is the agent's: trouble of its making is ``SandboxBroken``."""
    try:
        yield
    except SandboxBroken:
        raise
    except SandboxError as error:
        why = why_from_inside(sandbox, error)
        if why is None:
            raise
        raise SandboxBroken(f"the agent broke its sandbox: {why}, {doing} ({_short(error)})") from error


def why_from_inside(sandbox: Any, error: SandboxError) -> str | None:
    """What something that ran in it has done to the sandbox; None: it was nothing in there."""
    if isinstance(error, SandboxLost):
        return f"the task ended ({error.cause})" if error.cause in _BY_WHAT_RUNS_IN_IT else None
    if isinstance(error, UnsafeArchiveError):
        return "its files leave their directory"
    if isinstance(error, RemoteFileError):
        return "the disk is full" if error.errno in NO_ROOM else f"{error.path} cannot be read or written"
    if isinstance(error, TransportError):
        if error.context.get("kind") == MISBEHAVED:
            return "its server gives answers that no honest one gives"
        return _on_second_look(sandbox)
    if isinstance(error, UnknownUser):
        return "somebody is no more among its users"
    return "its server does not do what it is there for" if _said_by_a_server(error) else None


def _said_by_a_server(error: SandboxError) -> bool:
    """What it says it cannot do: there was nothing else of the kind when somebody could first have taken its place."""
    return type(error) is SandboxError and "kind" in error.context


def _on_second_look(sandbox: Any) -> str | None:
    """Why a connection broke is known a moment later: a server that is told to end refuses until its task has ended."""

    def probe() -> str | None:
        try:
            sandbox.exec(["true"], timeout_sec=_LOOK_SEC)
        except SandboxLost as error:
            return why_from_inside(sandbox, error) or _NOT_HIS
        except TransportError:
            return None
        except SandboxError:
            pass  # it answers, if only that there is nothing to run
        return _NOT_HIS

    try:
        found = wait_until(probe, deadline=_LOOK_SEC, what="an answer of the server, or the end of its task")
    except WaitTimeout:
        found = _NOT_HIS
        if _is_sidecar_there(sandbox):
            found = probe() or "the server in it does not answer, and its sidecar does"
    return found if found != _NOT_HIS else None


def _is_sidecar_there(sandbox: Any) -> bool:
    """By a new way, which may have been what was missing; by the old one, where no processes are left to make another.

    On Fargate all containers of a task share its kernel's 32,768, and no part of them can be kept for one.
    """
    tunnel = sandbox.ssh_tunnel
    answered = tunnel is not None and tunnel.check_health()
    try:
        sandbox.reconnect_tunnel()
    except (SandboxError, OSError):
        return answered
    return True


def _short(error: SandboxError) -> str:
    return error.message.partition("\n")[0]

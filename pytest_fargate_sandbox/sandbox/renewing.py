"""A machine made as new for whoever has it next: what ran in it ends, and what was added to its files goes.

What was changed or removed cannot be brought back; then it is told, and the machine is for nobody. Root of the
container can fool all this: it is for tests that mean no harm. See docs/pytest.md.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.server.protocol import Nothing
from pytest_fargate_sandbox.server.renewal.renewal_protocol import NoteStart, Renew, Renewed

if TYPE_CHECKING:
    from pytest_fargate_sandbox.sandbox.machine import Machine
    from pytest_fargate_sandbox.server.message import Message

A = TypeVar("A", bound="Message")

_LONGEST_SEC = 120.0
_AT_ONCE_SEC = 5.0
"""Less than for how long a server may be silent."""


def note_start(machine: Machine) -> None:
    """Nobody has used it: that is what it is to be like. Raises ``SandboxError`` where it cannot be made so."""
    _ask(machine, NoteStart(), Nothing)


def begin_renewal(machine: Machine, *, wait_sec: float) -> str:
    """Begin, and wait a little: why it cannot be made as new, if that is known by then."""
    return _ask(machine, Renew(begin=True, wait=wait_sec), Renewed).why_not


def check_renewed(machine: Machine) -> None:
    """Return when it is as new. Raises ``SandboxError`` if it is not, and will not be."""
    deadline = time.monotonic() + _LONGEST_SEC
    renewed = _ask(machine, Renew(begin=False, wait=_AT_ONCE_SEC), Renewed)
    while not renewed.done and time.monotonic() < deadline:
        renewed = _ask(machine, Renew(begin=False, wait=_AT_ONCE_SEC), Renewed)
    if renewed.why_not or not renewed.done:
        raise SandboxError(f"{machine.task_arn} is not as new: {renewed.why_not or 'that takes too long'}")


def _ask(machine: Machine, request: Message, answer: type[A]) -> A:
    """Of a server that has been told what renewal is."""
    started = machine.running()
    client = started.mode.client(started.connection)

    def act() -> A:
        client.teach("renewal.renewal_verbs")
        return client.ask(request, answer)

    return started.lifeline.through(act)

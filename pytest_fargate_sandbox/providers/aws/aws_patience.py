"""How long we wait for the control plane: the one place that says so, for every call that we make.

A call is tried again where that can help, but no attempt is begun that could not end within the call's total. So each
call ends in time, whether the other side refuses, breaks, answers 500 for ever, or takes the connection and says
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Patience:
    """In seconds: for a connection, for each piece of an answer, for all attempts together with their pauses."""

    connect: float
    read: float
    total: float

    def allows(self, elapsed: float) -> bool:
        """Whether one more attempt would end in time."""
        return elapsed + self.connect + self.read <= self.total


ASKING = Patience(4, 10, 30)
_LOOKING = Patience(3, 5, 10)
"""Of what is asked again soon, or must not keep a person waiting: what lives, how it ended, that it shall end."""
_ONCE = Patience(4, 10, 0)
"""Of what has a loop and a deadline of its own around it."""
FILES = Patience(4, 60, 0)
"""S3 answers when it has stored the whole of a file."""

_NEAR_READ = 5.0
"""Of an engine on this machine, of which can be told what keeps it from answering."""

_OF_OPERATIONS = {
    "DescribeTasks": _LOOKING,
    "ListTasks": _LOOKING,
    "StopTask": _LOOKING,
    "StopBuild": _LOOKING,
    "GetLogEvents": _LOOKING,
    "RunTask": _ONCE,
    "RegisterTaskDefinition": Patience(4, 10, 90),  # one a second for an account; a crowd waits in turn
    "PutObject": FILES,
}
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html


def patience_for(operation: str, *, near: bool = False) -> Patience:
    """``near``: for an engine on this machine."""
    patience = _OF_OPERATIONS.get(operation, ASKING)
    return replace(patience, read=_NEAR_READ) if near and patience is not FILES else patience

"""What has ended and is kept for whoever comes back for it, until he has it all: so much, and so long.

The newest stay as they are. Behind them only what is short stays in memory, and what is long lies in its file, with no
descriptor. Whoever asks for what had to go, the oldest first, is told so.
"""

import collections
import time

from pytest_fargate_sandbox.server.commands.kept_output import MOST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from pytest_fargate_sandbox.server.commands.command import Command

MOST_ENDED = 1000
_MOST_BYTES = 2 * MOST
_KEEP_SEC = 3600.0
_NEWEST = 16

FETCHED = "has run, was fetched and is forgotten; it will not run again"
_GONE = "has run, and what it said is gone: of what nobody fetches, %d commands, %d MiB and the last hour are kept"
GONE = _GONE % (MOST_ENDED, _MOST_BYTES >> 20)


class EndedCommands:
    """In the order of their ends. Not locked: it belongs to the table of all, which is."""

    def __init__(self) -> None:
        self._newest: "collections.OrderedDict[str, Command]" = collections.OrderedDict()
        self._older: "collections.OrderedDict[str, Command]" = collections.OrderedDict()
        self._sizes: "dict[str, int]" = {}
        self._size = 0

    def add(self, command: "Command") -> "Iterator[Command]":
        """What has to go for it; whoever drops one calls ``remove``."""
        self._newest[command.id] = command
        self._sizes[command.id] = size = command.kept
        self._size += size
        if len(self._newest) > _NEWEST:
            _, older = self._newest.popitem(last=False)
            self._older[older.id] = older
            if not older.rest():
                yield older
        while self._older:
            oldest = next(iter(self._older.values()))
            if not self._is_too_much(oldest):
                return
            yield oldest

    def _is_too_much(self, oldest: "Command") -> bool:
        is_old = time.monotonic() - oldest.ended_at > _KEEP_SEC
        return is_old or len(self._older) > MOST_ENDED - _NEWEST or self._size > _MOST_BYTES

    def remove(self, command: "Command") -> None:
        self._size -= self._sizes.pop(command.id, 0)
        self._newest.pop(command.id, None)
        self._older.pop(command.id, None)

"""The pipes between a command and us."""

import os

from pytest_fargate_sandbox.server.protocol import STDERR, STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


class Pipes:
    """What a command has for stdin, stdout and stderr. ``PseudoTerminal`` can stand in its place."""

    before: "Callable[[], None] | None" = None

    def __init__(self, has_stdin: bool) -> None:
        self._has_stdin = has_stdin
        self._theirs: "list[int]" = []
        self._ours: "list[int]" = []

    def open(self) -> None:
        if self._has_stdin:
            self._add(*os.pipe())
        else:
            self._theirs.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        for _ in (STDOUT, STDERR):
            ours, theirs = os.pipe()
            self._add(theirs, ours)

    def _add(self, theirs: int, ours: int) -> None:
        self._theirs.append(theirs)
        self._ours.append(ours)

    @property
    def for_child(self) -> "tuple[int, int, int]":
        stdin, stdout, stderr = self._theirs
        return stdin, stdout, stderr

    @property
    def stdin(self) -> "int | None":
        return self._ours[0] if len(self._ours) == 3 else None

    @property
    def outputs(self) -> "dict[int, bytes]":
        return {self._ours[-2]: STDOUT, self._ours[-1]: STDERR}

    def close_theirs(self) -> None:
        for file in self._theirs:
            os.close(file)

    def close_ours(self) -> None:
        """But the one for stdin, which is the command's intake once all are open."""
        for file in self._ours[-2:]:
            os.close(file)

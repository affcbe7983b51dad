"""What the two ends say of a command's terminal."""

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.message import REQUIRED, Message

MAX_TERMINALS = 64
LARGEST_SCREEN = 1000
"""Columns, or rows."""


def check_size(verb: str, columns: int, rows: int) -> None:
    """Both are 0 where no terminal, or no other size, is wanted."""
    if (columns or rows) and not all(1 <= side <= LARGEST_SCREEN for side in (columns, rows)):
        sentence = "%s: a screen has 1 to %d columns and rows, not %d x %d"
        raise Failure("bad_request", sentence % (verb, LARGEST_SCREEN, columns, rows))


class Terminal(Message):
    """How a command's terminal stands, once it has this size, if one is given."""

    VERB = "terminal"
    id: str
    columns: int
    rows: int
    FIELDS = {"id": (str, REQUIRED), "columns": (int, 0), "rows": (int, 0)}

    def check(self) -> None:
        check_size(self.VERB, self.columns, self.rows)


class TerminalState(Message):
    """Who reads what is typed (a process group, and its first command line), whether by lines and with an echo, and
    how many bytes it has yet to read."""

    FIELDS = {
        "foreground": (int, 0),
        "program": (str, ""),
        "by_lines": (bool, False),
        "echoes": (bool, False),
        "unread": (int, 0),
    }
    foreground: int
    program: str
    by_lines: bool
    echoes: bool
    unread: int

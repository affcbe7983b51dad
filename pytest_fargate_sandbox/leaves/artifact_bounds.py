"""How much is taken out of a sandbox as artifacts, unless somebody asks for more; and how much is handed in or on."""

from __future__ import annotations

from typing import NamedTuple

MOST_BYTES = 5_000_000
"""Of one file that is read, or saved, and of one archive."""

MOST_ENTRIES = 5_000
"""Of one listing, of one archive, and of what is saved of one sandbox after one test."""

MOST_BYTES_OF_A_TEST = 50_000_000
"""Of the files of one sandbox, and of the recordings of its terminals, that are saved after one test."""

SAVING_SEC = 60.0
"""So long the sandbox may be silent while they are read."""

MOST_TOLD = 20
"""So many files and complaints stand in a report; how many more there are is said."""


class WorkBounds(NamedTuple):
    """Of an agent's work at a task: of what he hands in, and of all that crosses over to a verifier.

    They are what ``--fargate-task-max-bytes`` and ``--fargate-task-max-files`` are where nobody says them.
    """

    bytes: int = 4_000_000_000
    """As it travels: a hole in a file that lies in a directory weighs nothing."""

    files: int = 500_000
    """With directories and links. Half of what a sandbox takes at once."""

    def __str__(self) -> str:
        return f"{self.bytes} bytes or {self.files} files (--fargate-task-max-bytes, --fargate-task-max-files)"


WORK_BOUNDS = WorkBounds()


def check_bound(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 40:
        raise ValueError(f"{name}={value!r}: expected a whole number above 0")

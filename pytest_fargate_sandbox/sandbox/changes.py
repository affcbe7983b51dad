"""What has become of a tree since it was known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Changes:
    """Paths below the tree, in order: files, directories and links. False if there are none.

    ``unseen`` is what could not be looked into, and why; ``more``: there are too many changes for all to be here.
    """

    added: tuple[str, ...] = ()
    modified: tuple[str, ...] = ()
    """In content, kind, mode, or, where root asks, owner. A time alone is none."""
    removed: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    more: bool = False

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.removed or self.more)


@dataclass(frozen=True)
class Remembered:
    """What a directory was like, known to its sandbox alone: to be given to ``changes``."""

    path: str
    name: str

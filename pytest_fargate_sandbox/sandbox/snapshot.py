"""A tree that was saved, in a file here."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import UnsafeArchiveError
from pytest_fargate_sandbox.leaves.temporary_directory import TemporaryDirectory
from pytest_fargate_sandbox.server.snapshots.snapshot_format import LONGEST_END, facts_at_end

if TYPE_CHECKING:
    from os import PathLike


@dataclass(frozen=True)
class Snapshot:
    """``left_out`` says what could not be saved, and why: ``"run/socket: a socket"``.

    Its file is a tar. It goes with the object, unless ``save`` was told where ``to`` put it.
    """

    path: Path
    sha256: str
    """Of its content."""
    size: int
    members: int
    left_out: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    """The globs of what was not wanted."""
    machine: str = ""
    """The architecture on which it was saved."""
    _keeps: object = field(default=None, repr=False, compare=False)

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Snapshot:
        """One that was saved before. It is only read whole, and checked, when it is loaded."""
        return _opened(Path(path), None)


class _Temporary:
    """A file that goes with whoever holds this."""

    def __init__(self) -> None:
        self._directory = TemporaryDirectory("snapshot-")
        self.path = self._directory.path / "snapshot.tar"

    def __del__(self) -> None:
        self._directory.remove()


def place_for(to: str | PathLike[str] | None) -> tuple[Path, object]:
    """Where a snapshot goes, and what keeps it there."""
    if to is not None:
        return Path(to), None
    temporary = _Temporary()
    return temporary.path, temporary


def saved(path: Path, keeps: object) -> Snapshot:
    return _opened(path, keeps)


def _opened(path: Path, keeps: object) -> Snapshot:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LONGEST_END))
        try:
            digest, facts = facts_at_end(file.read())
        except ValueError:
            raise UnsafeArchiveError(f"{path} is no whole snapshot: it is cut short, or something else") from None
    more = (f"and {facts.more} more",) if facts.more else ()
    left_out = (*facts.left_out, *more)
    return Snapshot(path, digest, size, facts.members, left_out, tuple(facts.exclude), facts.machine, keeps)

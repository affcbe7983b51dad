"""A tree that was saved, in a file here."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from pytest_fargate_sandbox.leaves.call_arguments import local_path
from pytest_fargate_sandbox.leaves.errors import UnsafeArchiveError
from pytest_fargate_sandbox.leaves.temporary_directory import TemporaryDirectory
from pytest_fargate_sandbox.server.snapshots.snapshot_format import LONGEST_END, facts_at_end

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from pytest_fargate_sandbox.server.snapshots.snapshot_format import Facts

_BLOCK = 1 << 20


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
        return _opened(local_path("path", path), None)

    def check(self) -> None:
        """Read all of it; an ``UnsafeArchiveError`` if it is not as it was saved."""
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            _, facts = _facts_of(file, self.path)
            left = file.seek(0, os.SEEK_END) - len(facts.end(digest.copy()))
            file.seek(0)
            while left > 0:
                data = file.read(min(left, _BLOCK))
                left -= len(data)
                digest.update(data)
            if file.read() != facts.end(digest):
                raise UnsafeArchiveError(f"{self.path} was changed since it was saved")


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
        return local_path("to", to), None
    temporary = _Temporary()
    return temporary.path, temporary


def saved(path: Path, keeps: object) -> Snapshot:
    return _opened(path, keeps)


def _opened(path: Path, keeps: object) -> Snapshot:
    with path.open("rb") as file:
        digest, facts = _facts_of(file, path)
        size = file.seek(0, os.SEEK_END)
    more = (f"and {facts.more} more",) if facts.more else ()
    left_out = (*facts.left_out, *more)
    return Snapshot(path, digest, size, facts.members, left_out, tuple(facts.exclude), facts.machine, keeps)


def _facts_of(file: IO[bytes], path: Path) -> tuple[str, Facts]:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LONGEST_END))
    try:
        return facts_at_end(file.read())
    except ValueError:
        raise UnsafeArchiveError(f"{path} is no whole snapshot: it is cut short, or something else") from None

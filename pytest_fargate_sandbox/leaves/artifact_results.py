"""What is read, listed and packed of a workspace, and whether a limit bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Artifact:
    """A file. ``path`` is relative to the workspace, or absolute where it lies beside what that is relative to.

    ``truncated``: there is more of it than the ``bytes`` that were read. ``content`` is a string, or bytes if they were
    asked for. ``sha256``, if it was, is of the bytes that were read.
    """

    path: str
    content: str | bytes
    encoding: str
    mime: str
    bytes: int
    file_size: int
    mtime: float
    truncated: bool
    sha256: str | None = None


class ArtifactEntry(NamedTuple):
    """A file or a directory; a link is told as what it leads to, if that is in the workspace."""

    path: str
    is_dir: bool
    size: int
    mtime: float


@dataclass(frozen=True)
class ArtifactList:
    """``truncated``: there are more entries. ``refused`` has a sentence for each directory that could not be read."""

    entries: tuple[ArtifactEntry, ...]
    truncated: bool
    refused: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[ArtifactEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True)
class ArtifactArchive:
    """A tar.gz of ``bytes`` with ``entry_count`` files and directories.

    ``truncated``: there are more of them. ``refused`` has a sentence for each that could not be packed: a link that
    leads out, a pipe, a device.
    """

    bytes: int
    entry_count: int
    truncated: bool
    refused: tuple[str, ...] = ()
    mime: str = "application/gzip"


@dataclass(frozen=True)
class CollectedFile:
    """A file that fits a glob, of which ``bytes`` were read."""

    path: str
    bytes: int
    file_size: int
    truncated: bool


@dataclass(frozen=True)
class Collected:
    """``truncated``: there are more files. ``unmatched`` are the globs that no file fits."""

    files: tuple[CollectedFile, ...]
    truncated: bool
    unmatched: tuple[str, ...]
    refused: tuple[str, ...]

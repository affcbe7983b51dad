"""What the directories of a workspace were like when it began, and what has become of them since."""

from __future__ import annotations

import posixpath
import secrets
import stat
from functools import partial
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError, UnsafeArchiveError
from pytest_fargate_sandbox.sandbox.changes import Changes, Remembered
from pytest_fargate_sandbox.sandbox.snapshot import Snapshot
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import encoded
from pytest_fargate_sandbox.server.snapshots import known_tree
from pytest_fargate_sandbox.server.snapshots.snapshot_reader import SnapshotReader

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Iterator, Sequence
    from os import PathLike
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.workspace_artifacts import Through

_FORGOTTEN = "forgotten"


class Starts:
    def __init__(self, through: Through, *, empty: bool) -> None:
        """``empty``: there was nothing in the workspace when it began."""
        self._through = through
        self._empty = empty
        self._known: dict[str, Snapshot | Remembered] = {}

    def forget(self) -> None:
        """It is as new."""
        self._known.clear()

    def loaded(self, snapshot: Snapshot, path: str) -> None:
        self._known[posixpath.normpath(path)] = snapshot

    def remember(self, path: str, exclude: Sequence[str]) -> Remembered:
        name = secrets.token_hex(16)
        self._through(lambda client: client.remember(path, name, exclude))
        self._known[posixpath.normpath(path)] = remembered = Remembered(path, name)
        return remembered

    def changes(self, since: Snapshot | Remembered | str | PathLike[str] | None, path: str | None) -> Changes:
        start = self._start(path or ".") if since is None else since
        if start is None:
            return self._through(lambda client: client.changes(path or ".", "", None))
        if isinstance(start, Remembered):
            return self._since_remembered(start, path)
        snapshot = start if isinstance(start, Snapshot) else Snapshot.open(start)
        return self._since_snapshot(snapshot, path or ".")

    def _start(self, path: str) -> Snapshot | Remembered | None:
        found = self._known.get(posixpath.normpath(path))
        if found is None and (self._known or not self._empty):
            known = f"; what is known is {', '.join(sorted(self._known))}" if self._known else ""
            raise ValueError(
                f"since: nobody knows what {path} was like: give a snapshot of it, or what `remember({path!r})` gave "
                f"before the changes{known}"
            )
        return found

    def _since_remembered(self, start: Remembered, path: str | None) -> Changes:
        if path is not None and posixpath.normpath(path) != posixpath.normpath(start.path):
            raise ValueError(f"path={path!r}: what was remembered is {start.path}")
        try:
            return self._through(lambda client: client.changes(start.path, start.name, None))
        except SandboxError as error:
            if error.context.get("kind") != _FORGOTTEN:
                raise
            raise SandboxError(
                f"the sandbox does not know any more what {start.path} was like: it is another one, or has remembered "
                "too much since; a snapshot can be compared with at any time",
                kind=_FORGOTTEN,
            ) from None

    def _since_snapshot(self, snapshot: Snapshot, path: str) -> Changes:
        def ask() -> Changes:
            return self._through(lambda client: client.changes(path, snapshot.sha256, snapshot.path))

        try:
            return ask()
        except SandboxError as error:
            if error.context.get("kind") != _FORGOTTEN:
                raise
        rows = partial(_described, snapshot.path)
        self._through(lambda client: client.remember(path, snapshot.sha256, snapshot.exclude, rows))
        return ask()


def _described(path: Path) -> Iterator[bytes]:
    """What a snapshot has, for a server that has never seen it."""
    files: dict[str, tuple[int, bytes]] = {}
    try:
        with path.open("rb") as file:
            reader = SnapshotReader(file.read)
            for info in reader:
                name = "/".join(part for part in info.name.split("/") if part not in ("", "."))
                if name:
                    kind, size, content = _entry(reader, info, files)
                    yield known_tree.description(
                        encoded(name), kind | info.mode & 0o7777, (info.uid, info.gid), size, content
                    )
    except Failure as failure:
        raise UnsafeArchiveError(f"{path}: {failure.message}") from None
    yield known_tree.description(b"", 0, (0, 0), 0, known_tree.NO_CONTENT)


def _entry(
    reader: SnapshotReader, info: tarfile.TarInfo, files: dict[str, tuple[int, bytes]]
) -> tuple[int, int, bytes]:
    """Its kind, its size and its content. ``files`` are those before it, to which hard links lead."""
    if info.isdir():
        return stat.S_IFDIR, 0, known_tree.NO_CONTENT
    if info.issym():
        return stat.S_IFLNK, 0, known_tree.content_of_link(encoded(info.linkname))
    if not info.islnk():
        files[info.name] = reader.size_of(info), known_tree.UNKNOWN_CONTENT
        if reader.is_dense(info):
            files[info.name] = info.size, known_tree.content_at(reader.position)
    return (stat.S_IFREG, *files.get(info.linkname if info.islnk() else info.name, (0, known_tree.UNKNOWN_CONTENT)))

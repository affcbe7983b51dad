"""Files of a sandbox, from here: what ``ExecClient`` does with them."""

from __future__ import annotations

import copy
import errno
import os
import posixpath
import stat
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.leaves.call_arguments import (
    bytes_of,
    check_mode,
    check_sendable,
    remote_path,
    wrong_argument,
)
from pytest_fargate_sandbox.leaves.errors import RemoteFileError, RemoteFileNotFound, RemoteIsADirectory
from pytest_fargate_sandbox.leaves.path_status import PathStatus
from pytest_fargate_sandbox.sandbox.exec.artifact_calls import ArtifactCalls
from pytest_fargate_sandbox.sandbox.exec.downloads import Download
from pytest_fargate_sandbox.sandbox.exec.exec_calls import misbehaviour
from pytest_fargate_sandbox.sandbox.exec.snapshot_calls import SnapshotCalls
from pytest_fargate_sandbox.sandbox.exec.staged_downloads import Place, StagedDownload
from pytest_fargate_sandbox.sandbox.exec.uploads import Upload
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files import archives, file_protocol
from pytest_fargate_sandbox.server.files.path_protocol import FindPaths, MakeDirectory, PathFacts, Remove, Stat
from pytest_fargate_sandbox.server.files.push_protocol import Push
from pytest_fargate_sandbox.server.requests.http1 import BLOCK, Malformed
from pytest_fargate_sandbox.server.snapshots.snapshot_protocol import CompareTree, KnowTree, SaveSnapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from typing_extensions import Self

    from pytest_fargate_sandbox.sandbox.changes import Changes
    from pytest_fargate_sandbox.sandbox.exec.exec_calls import ExecCalls
    from pytest_fargate_sandbox.sandbox.exec.leash import Leash
    from pytest_fargate_sandbox.server.message import Message

M = TypeVar("M", bound="Message")

_TRIES = 4


class RemoteFiles:
    """As the server's own user, or as another; relative paths start from a home, where one is named."""

    _calls: ExecCalls
    _home: str | None = None
    """What relative paths start from, where the server's own directory is not meant."""
    _fence = ""
    """What is not left by what is asked for as artifacts."""
    _user = ""
    _set_ids = True

    def at(self, directory: str) -> Self:
        """The same server; relative paths, and commands, start from there."""
        other = copy.copy(self)
        other._home = directory
        return other

    def as_user(self, user: str | None) -> Self:
        """The same server, asked for files with that user's rights."""
        other = copy.copy(self)
        other._user = user or ""
        return other

    def with_set_ids(self, kept: bool) -> Self:
        """The same server, which may be told to keep no such bits of what it loads."""
        other = copy.copy(self)
        other._set_ids = kept
        return other

    def on_leash(self, leash: Leash | None) -> Self:
        """The same server, for what that may end."""
        if leash is None:
            return self
        other = copy.copy(self)
        other._calls = self._calls.on_leash(leash)
        return other

    def upload(self, remote_path: str, data: bytes | Path, *, mode: int | None = None, max_retries: int = 3) -> None:
        """Put bytes or a local file there, all of it or nothing: what was there is replaced.

        A file keeps its mode and time; parents are made.
        """
        mtime_ns = None
        if isinstance(data, Path):
            status = check_sendable("data", data)
            mode = stat.S_IMODE(status.st_mode) if mode is None else mode
            mtime_ns = status.st_mtime_ns
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(f"{data} is a directory: that is what upload_tree is for")
        request = self._upload_request(file_protocol.WriteFile, path=remote_path, mode=mode, mtime_ns=mtime_ns)
        Upload(self._calls, request, lambda: _blocks_of(data)).to_end(1 + max_retries)

    def upload_tree(self, local_dir: Path | str, remote_dir: str, *, max_retries: int = 3) -> None:
        """Put what is in a local directory into one there, which is made if need be and merged into if it exists."""
        root = os.fsencode(local_dir)
        os.scandir(root).close()
        request = self._upload_request(file_protocol.WriteTree, path=remote_dir)
        Upload(self._calls, request, lambda: archives.pack(root)).to_end(1 + max_retries)

    def download(self, remote_path: str, *, max_retries: int = 3) -> bytes:
        """The content of a file there."""

        return self._download(remote_path, 1 + max_retries).read_file()

    def download_to(
        self, remote_path: str, local_path: Path | str, *, max_retries: int = 3, max_bytes: int | None = None
    ) -> None:
        """Copy a file or a whole directory to here, with modes and times.

        A file goes into ``local_path`` if that is a directory. A directory's content goes into ``local_path``, which
        is made if need be; an archive that wants to leave it changes nothing.
        """
        _land(self._download(remote_path, 1 + max_retries, max_bytes), remote_path, Path(local_path))

    def download_by(
        self, place: Place, remote_path: str, local_path: Path, *, at_least: int, max_bytes: int | None = None
    ) -> None:
        """The same, by way of somewhere that the sandbox puts it; ``TooLittle`` where it has less than that."""

        def request(**fields: object) -> Push:
            return self._request(Push, path=remote_path, **fields)

        download = StagedDownload(
            self._calls, remote_path, place=place, request=request, at_least=at_least, max_bytes=max_bytes
        )
        _land(download, remote_path, local_path)

    def read_file(self, path: str, max_bytes: int | None = None) -> bytes:
        """The content of a small file; one of more than ``max_bytes`` is an error of the kind ``too_large``."""
        return self._download(path, _TRIES).read_file(max_bytes)

    def write_file(self, path: str, data: bytes | str, *, mode: int | None = None, atomic: bool = False) -> None:
        """Make a small file, or write it as a shell's ``>`` does: one that is there keeps inode, owner and mode.

        ``atomic`` replaces it, so that nobody sees half of it.
        """
        content = bytes_of("data", data)
        if mode is not None:
            check_mode("mode", mode)
        request = self._upload_request(file_protocol.WriteFile, path=path, mode=mode, in_place=not atomic)
        Upload(self._calls, request, lambda: _blocks_of(content)).to_end(_TRIES)

    def list_files(self, path: str) -> list[str]:
        """The names in a directory, in order."""
        listing = self._calls.ask(self._request(file_protocol.ListFiles, path=path), file_protocol.FileList)
        assert isinstance(listing, file_protocol.FileList)
        for name in listing.names:
            if name in ("", ".", "..") or "/" in name:
                raise misbehaviour(Malformed(f"a directory in which something is called {name!r:.80}"))
        return listing.names

    # --- paths, without what is in them -------------------------------------------------------------------------
    def stat(self, path: str, *, follow: bool = True) -> PathStatus:
        """What is known of it; without ``follow`` of a link itself."""
        facts = self._calls.ask(self._request(Stat, path=path, follow=follow), PathFacts)
        assert isinstance(facts, PathFacts)
        if facts.kind not in ("file", "directory", "link", "other"):
            raise misbehaviour(Malformed(f"a path of the kind {facts.kind!r:.80}"))
        if min(facts.size, facts.uid, facts.gid) < 0 or not 0 <= facts.mode <= 0o7777:
            raise misbehaviour(
                Malformed(f"a path with a size, an owner or a mode that none has: {facts.to_json()!r:.200}")
            )
        return PathStatus(
            facts.kind,  # type: ignore[arg-type]
            facts.size, facts.mode, facts.uid, facts.gid, facts.mtime_ns / 1e9, facts.target,
        )  # fmt: skip

    def exists(self, path: str) -> bool:
        """Whether something is there; a link that leads nowhere is not."""
        try:
            self.stat(path)
        except RemoteFileError as error:
            if error.kind in ("not_found", "not_directory"):
                return False
            raise
        return True

    def mkdir(self, path: str, *, parents: bool = True, mode: int = 0o777) -> None:
        """Make a directory, if it is not there."""
        check_mode("mode", mode)
        self._calls.ask(self._request(MakeDirectory, path=path, parents=parents, mode=mode), protocol.Nothing)

    def remove(self, path: str, *, recursive: bool = False, missing_ok: bool = False) -> None:
        """Remove a file, a link or an empty directory; with ``recursive`` a directory and all that is in it."""
        request = self._request(Remove, id=file_protocol.new_upload_id(), path=path, recursive=recursive)
        try:
            self._calls.ask(request, protocol.Nothing)
        except RemoteFileNotFound:
            if not missing_ok:
                raise

    def glob(self, pattern: str) -> list[str]:
        """The paths that fit, in order; ``**`` is any number of directories, hidden ones too. No link is followed."""
        pattern = remote_path("pattern", pattern)
        parts = pattern.split("/")
        if ".." in parts or not any(part not in ("", ".") for part in parts):
            raise wrong_argument("pattern", pattern, "a glob of paths below a directory, without ..")
        root = "/" if pattern.startswith("/") else self._base(".")
        found = self._calls.ask(self._request(FindPaths, path=root, glob=pattern), file_protocol.FileList)
        assert isinstance(found, file_protocol.FileList)
        return [f"/{name}" for name in found.names] if root == "/" and pattern.startswith("/") else found.names

    # --- what is in them, in other forms ------------------------------------------------------------------------
    @property
    def artifacts(self) -> ArtifactCalls:
        """What is asked for with bounds, and lies in the workspace."""
        return ArtifactCalls(self._calls, self._fence)

    def save(
        self,
        remote_dir: str,
        exclude: Sequence[str],
        target: Path,
        *,
        max_bytes: int | None = None,
        max_members: int | None = None,
    ) -> None:
        """Make a snapshot of a directory there, in a file here."""
        wanted = exclude if isinstance(exclude, str) else list(exclude)
        request = self._request(SaveSnapshot, path=self._base(remote_dir), exclude=wanted)
        SnapshotCalls(self._calls).save(request, target, max_bytes, max_members)

    def load(self, source: Path, remote_dir: str) -> tuple[str, ...]:
        """Put what a snapshot has into a directory there, all of it or nothing; what of it could not be kept."""
        target = self.path_of(self._base(remote_dir))
        return SnapshotCalls(self._calls).load(source, target, self._user, set_ids=self._set_ids)

    def fetch_snapshot(self, url: str, roots: str, remote_dir: str) -> tuple[str, ...]:
        """The same of a snapshot that the sandbox gets from a URL."""
        target = self.path_of(self._base(remote_dir))
        return SnapshotCalls(self._calls).fetch(url, roots, target, self._user, set_ids=self._set_ids)

    def remember(
        self,
        remote_dir: str,
        name: str,
        exclude: Sequence[str],
        described: Callable[[], Iterator[bytes]] | None = None,
    ) -> None:
        """Have the server know what a directory is like now, or what it was like: as ``described``."""
        wanted = exclude if isinstance(exclude, str) else list(exclude)
        request = self._request(
            KnowTree, path=self._base(remote_dir), name=name, exclude=wanted, described=bool(described)
        )
        SnapshotCalls(self._calls).remember(request, described)

    def changes(self, remote_dir: str, name: str, snapshot: Path | None) -> Changes:
        """Since what it was like by that name, which is a snapshot's digest or was given to ``remember``."""
        request = self._request(CompareTree, path=self._base(remote_dir), name=name)
        return SnapshotCalls(self._calls).changes(request, snapshot)

    def fetch(
        self,
        url: str,
        remote_path: str,
        *,
        sha256: str,
        roots: str = "",
        unpack: bool = False,
        mode: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        """Let the sandbox get a file, or with ``unpack`` a tar, from a URL. What has another digest changes nothing.

        ``roots`` are certificates in PEM by which it may know who answers there, beside its image's own.
        """
        wanted: dict[str, object] = {"url": url, "roots": roots, "path": remote_path, "sha256": sha256}
        request = self._upload_request(file_protocol.Fetch, **wanted, unpack=unpack, mode=mode, mtime_ns=mtime_ns)

        def once() -> None:
            with self._calls.open(request, patience=self._calls.patience(self._calls.limits.fetch_sec)) as answer:
                answer.read_message(protocol.Nothing)

        self._calls.persistently(once)

    def _request(self, kind: type[M], **values: object) -> M:
        """A request of the caller's making; what cannot be one was wrong here, and is said here."""
        if "path" in values:
            values["path"] = self.path_of(remote_path("path", values["path"]))
            if not values["path"]:
                raise RemoteFileNotFound("No such file or directory: ''", path="", kind="not_found", errno=errno.ENOENT)
        if "user" in kind.FIELDS:
            values["user"] = self._user
        try:
            return kind(**values)
        except Failure as failure:
            raise ValueError(failure.message) from None

    def _base(self, path: str) -> str:
        return self._home or path if path == "." else path

    def _download(self, remote_path: str, tries: int, max_bytes: int | None = None) -> Download:
        request = self._request(file_protocol.ReadFile, path=remote_path)
        return Download(self._calls, request.path, tries, max_bytes=max_bytes, user=request.user)

    def path_of(self, path: str) -> str:
        """From the server's own directory."""
        return posixpath.join(self._home, path) if self._home else path

    def _upload_request(self, kind: type[M], **values: object) -> M:
        """With an id, so that it lands once, however often it has to be sent."""
        return self._request(kind, id=file_protocol.new_upload_id(), **values)


def _blocks_of(data: bytes | Path) -> Iterator[bytes]:
    if isinstance(data, Path):
        with data.open("rb", buffering=0) as file:
            yield from iter(lambda: file.read(BLOCK), b"")
        return
    for start in range(0, len(data), BLOCK):
        yield data[start : start + BLOCK]


def _land(download: Download, remote_path: str, local: Path) -> None:
    try:
        download.save_file(local / Path(remote_path).name if local.is_dir() else local)
    except RemoteIsADirectory:
        try:
            download.save_tree(local)
        except OSError as error:  # of this side's: an archive is unpacked by the bytes of names
            if isinstance(error.filename, bytes):
                error.filename = os.fsdecode(error.filename)
            raise

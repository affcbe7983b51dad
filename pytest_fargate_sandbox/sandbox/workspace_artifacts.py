"""Results out of a workspace: files, listings and archives, with bounds, and never from beside it."""

from __future__ import annotations

import base64
import hashlib
import io
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

from pytest_fargate_sandbox.leaves.artifact_bounds import (
    MOST_BYTES,
    MOST_BYTES_OF_A_TEST,
    MOST_ENTRIES,
    SAVING_SEC,
    check_bound,
)
from pytest_fargate_sandbox.leaves.artifact_results import (
    Artifact,
    ArtifactArchive,
    ArtifactEntry,
    ArtifactList,
    Collected,
    CollectedFile,
)
from pytest_fargate_sandbox.leaves.call_arguments import check_globs, local_path, remote_path, wrong_argument
from pytest_fargate_sandbox.leaves.errors import RemoteFileError
from pytest_fargate_sandbox.leaves.mime_types import mime_type
from pytest_fargate_sandbox.server.artifacts.artifact_protocol import (
    CollectArtifacts,
    ListArtifacts,
    PackArtifacts,
    Piece,
    ReadArtifact,
)
from pytest_fargate_sandbox.server.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from os import PathLike

    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.server.message import Message

T = TypeVar("T")
M = TypeVar("M", bound="Message")


class Through(Protocol):
    """How a workspace has something done by its client."""

    def __call__(self, act: Callable[[ExecClient], T], /) -> T: ...


class Sink(Protocol):
    """Where collected files go; what it raises is the caller's."""

    def begin(self) -> None:
        """From the first file on, be it once more."""

    def file(self, path: str) -> Callable[[bytes], object]:
        """Another file, which is written by what this returns."""


class WorkspaceArtifacts:
    """Relative paths begin where those of commands do: in a slot's home, or in the image's working directory.

    A slot is not left, be it by ``..``, by an absolute path or by a link (``RemotePermissionError``).
    """

    def __init__(self, through: Through) -> None:
        self._through = through

    def read(
        self, path: str, encoding: str | type[bytes] = "text", max_bytes: int = MOST_BYTES, sha256: bool = False
    ) -> Artifact:
        """The first ``max_bytes`` of a file: as text, in base64, or as ``bytes``, with the digest of them if wanted."""
        named = "bytes" if encoding is bytes else encoding
        if named not in _ENCODINGS:
            raise ValueError(f"encoding={encoding!r}: expected 'text', 'base64' or bytes")
        check_bound("max_bytes", max_bytes)

        def take(pieces: Iterator[Piece | bytes]) -> Artifact:
            about, content, more = Piece(), io.BytesIO(), False
            for piece in pieces:
                if not isinstance(piece, Piece):
                    content.write(piece)
                elif not piece.last:
                    about, more = (about, True) if piece.more else (piece, more)
            return _artifact(about, content.getvalue(), str(named), more, sha256)

        return self._ask(ReadArtifact, take, path=path, most_bytes=max_bytes)

    def list(self, path: str = ".", recursive: bool = False, max_entries: int = MOST_ENTRIES) -> ArtifactList:
        """What is in a directory: each directory in order of name, as far as it is all listed."""
        check_bound("max_entries", max_entries)

        def take(pieces: Iterator[Piece | bytes]) -> ArtifactList:
            found, refused, more = [], [], False
            for piece in pieces:
                if not isinstance(piece, Piece):
                    continue
                if piece.last:
                    more = piece.more
                elif piece.why:
                    refused.append(f"{piece.path}: {piece.why}")
                else:
                    found.append(ArtifactEntry(piece.path, piece.is_dir, piece.size, piece.mtime))
            return ArtifactList(tuple(found), more, tuple(refused))

        return self._ask(ListArtifacts, take, path=path, recursive=recursive, most_entries=max_entries)

    def archive(
        self,
        path: str,
        dest: str | PathLike[str] | IO[bytes],
        max_bytes: int = MOST_BYTES,
        max_entries: int = MOST_ENTRIES,
    ) -> ArtifactArchive:
        """Write a tar.gz of a file or a directory to ``dest``: files, directories, and what links to files lead to.

        One of more than ``max_bytes`` is a ``RemoteFileError`` of the kind ``too_large`` with its ``size``, and nothing
        is written.
        """
        check_bound("max_bytes", max_bytes)
        check_bound("max_entries", max_entries)
        target = dest if hasattr(dest, "write") else local_path("dest", dest)

        def take(pieces: Iterator[Piece | bytes]) -> tuple[Piece, bytes, list[str]]:
            refused, content, last = [], io.BytesIO(), Piece()
            for piece in pieces:
                if not isinstance(piece, Piece):
                    content.write(piece)
                elif piece.last:
                    last = piece
                else:
                    refused.append(f"{piece.path}: {piece.why}")
            return last, content.getvalue(), refused

        last, content, refused = self._ask(
            PackArtifacts, take, path=path, most_bytes=max_bytes, most_entries=max_entries
        )
        if last.size > max_bytes:
            told = f"the archive of {path} has {last.size} bytes, and may have {max_bytes} (max_bytes)"
            raise RemoteFileError(told, path=path, kind="too_large", size=last.size)
        if isinstance(target, Path):
            target.write_bytes(content)
        else:
            target.write(content)
        return ArtifactArchive(len(content), last.count, last.more, tuple(refused))

    def collect(self, globs: Sequence[str], sink: Sink) -> Collected:
        """Give the ``sink`` all files that fit any of the globs, each within the bounds of a file, all within a test's.

        ``**`` is any number of directories; a directory that fits comes with all that is in it.
        """

        check_globs("globs", globs)
        if not hasattr(sink, "begin"):
            raise wrong_argument(
                "sink", sink, "what files go to: begin(), and file(path), which gives what writes them"
            )

        def take(pieces: Iterator[Piece | bytes]) -> Collected:
            sink.begin()
            return _collected(pieces, sink)

        return self._ask(
            CollectArtifacts,
            take,
            seconds=SAVING_SEC,
            globs=list(globs),
            each_bytes=MOST_BYTES,
            most_bytes=MOST_BYTES_OF_A_TEST,
            most_entries=MOST_ENTRIES,
        )

    def _ask(
        self,
        kind: type[M],
        take: Callable[[Iterator[Piece | bytes]], T],
        seconds: float | None = None,
        **fields: Any,
    ) -> T:
        if "path" in fields:
            fields["path"] = remote_path("path", fields["path"])

        def act(client: ExecClient) -> T:
            if "path" in fields and not client.artifacts.root:
                fields["path"] = client.path_of(fields["path"])
            try:
                request = kind(root=client.artifacts.root, **fields)
            except Failure as failure:
                raise ValueError(failure.message) from None
            bounds = {"most_bytes": fields.get("most_bytes", 0), "most_entries": fields.get("most_entries", 1)}
            return client.artifacts.ask(request, take, seconds=seconds, **bounds)

        return self._through(act)


_ENCODINGS: dict[object, Callable[[bytes], str | bytes]] = {
    "text": lambda content: content.decode("utf-8", "replace"),
    "base64": lambda content: base64.b64encode(content).decode("ascii"),
    "bytes": bytes,
}


def _artifact(about: Piece, content: bytes, encoding: str, more: bool, sha256: bool) -> Artifact:
    return Artifact(
        path=about.path,
        content=_ENCODINGS[encoding](content),
        encoding=encoding,
        mime=mime_type(about.path, content),
        bytes=len(content),
        file_size=max(about.size, len(content)),
        mtime=about.mtime,
        truncated=more,
        sha256=hashlib.sha256(content).hexdigest() if sha256 else None,
    )


def _collected(pieces: Iterator[Piece | bytes], sink: Sink) -> Collected:
    incoming: list[_Incoming] = []
    refused: list[str] = []
    for piece in pieces:
        if not isinstance(piece, Piece):
            if incoming:
                incoming[-1].take(piece)
        elif piece.last:
            return Collected(
                tuple(each.done() for each in incoming), piece.more, tuple(piece.unmatched), tuple(refused)
            )
        elif piece.why:
            refused.append(f"{piece.path}: {piece.why}")
        elif piece.path:
            incoming.append(_Incoming(piece, sink.file(piece.path)))
        elif piece.more and incoming:
            incoming[-1].truncated = True
    raise AssertionError("an answer without its end")


class _Incoming:
    def __init__(self, about: Piece, write: Callable[[bytes], object]) -> None:
        self._about = about
        self._write = write
        self._bytes = 0
        self.truncated = False

    def take(self, data: bytes) -> None:
        self._write(data)
        self._bytes += len(data)

    def done(self) -> CollectedFile:
        return CollectedFile(self._about.path, self._bytes, max(self._bytes, self._about.size), self.truncated)

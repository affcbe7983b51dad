"""A build context on its way: a tar inside a zip, streamed, never whole in memory.

CodeBuild takes a zip for its source, and loses modes and links when it unpacks one. So the zip holds one member, a
tar that does keep them.
"""

from __future__ import annotations

import io
import os
import tarfile
import threading
import zipfile
from typing import IO, TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import ImageBuildError
from pytest_fargate_sandbox.providers.images.ignore import ignore_rules
from pytest_fargate_sandbox.providers.images.tree import CONTEXT_PHASE, Entry, walk

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import ReadableBuffer

TAR_NAME = "context.tar"
"""The zip's one member."""

CONTEXT_LIMIT_BYTES = 5 << 30
"""A context above this is a mistake (a data set, a virtual environment), and more than CodeBuild's source takes."""

_CHUNK = 1 << 20


def context_entries(directory: Path, limit: int = CONTEXT_LIMIT_BYTES) -> list[Entry]:
    """What of ``directory`` belongs to the context; too much of it is an error that names the biggest parts."""
    entries = list(walk(os.fspath(directory), ignore_rules(directory)))
    total = sum(entry.stat.st_size for entry in entries if entry.is_file)
    if total > limit:
        raise ImageBuildError(
            f"the build context {str(directory)!r} holds {_mib(total)}, more than the limit of {_mib(limit)}; "
            f"its biggest parts are {_biggest(entries)}; leave out what the build doesn't need with a .dockerignore",
            phase=CONTEXT_PHASE,
        )
    return entries


def write_archive(entries: list[Entry], stream: IO[bytes]) -> None:
    """Write the zip with the tar in it to ``stream``, which need not be seekable."""
    with zipfile.ZipFile(stream, "w") as archive, archive.open(TAR_NAME, "w", force_zip64=True) as member:
        buffered = io.BufferedWriter(_Raw(member), _CHUNK)
        for entry in entries:
            _add(buffered, entry)
        buffered.write(b"\0" * tarfile.BLOCKSIZE * 2)
        buffered.flush()


class ArchiveReader:
    """The archive as a file to read from while a thread writes it: what an upload wants. A context manager."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries
        self._failure: BaseException | None = None

    def __enter__(self) -> ArchiveReader:
        reader, writer = os.pipe()
        self._reader = os.fdopen(reader, "rb")
        self._writer = threading.Thread(target=self._write, args=(writer,), name="image-context", daemon=True)
        self._writer.start()
        return self

    def read(self, size: int = -1) -> bytes:
        data = self._reader.read(size)
        if self._failure is not None:  # a file vanished or cannot be read: never let half an archive pass for a whole
            raise self._failure
        return data

    def __exit__(self, *_: object) -> None:
        self._reader.close()  # a writer that is still at it gets EPIPE and ends
        self._writer.join()

    def _write(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "wb", buffering=0) as stream:
            try:
                write_archive(self._entries, stream)
            except BaseException as failure:  # raised again in the thread that reads
                self._failure = failure


class _Raw(io.RawIOBase):
    """A zip member as the raw side of a buffer: a tar's 512-byte headers would be that many compressor calls."""

    def __init__(self, member: IO[bytes]) -> None:
        self._member = member

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        return self._member.write(data)


def _add(archive: IO[bytes], entry: Entry) -> None:
    info = tarfile.TarInfo(entry.name)
    info.mode, info.mtime = entry.permissions, int(entry.stat.st_mtime)
    if entry.is_link:
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(entry.path)  # noqa: PTH115 - 10,000 of them
    elif entry.is_directory:
        info.type = tarfile.DIRTYPE
    else:
        info.size = entry.stat.st_size
    archive.write(info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape"))
    if info.size:
        _copy(archive, entry, info.size)


def _copy(archive: IO[bytes], entry: Entry, size: int) -> None:
    left = size
    with open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123 - as above
        while left and (data := file.read(min(left, _CHUNK))):
            archive.write(data)
            left -= len(data)
    if left:
        raise ImageBuildError(f"{entry.path} shrank while it was packed; build again", phase=CONTEXT_PHASE)
    archive.write(b"\0" * (-size % tarfile.BLOCKSIZE))


def _biggest(entries: list[Entry]) -> str:
    sizes: dict[str, int] = {}
    for entry in entries:
        if entry.is_file:
            top = entry.name.split("/", 1)[0]
            sizes[top] = sizes.get(top, 0) + entry.stat.st_size
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
    return ", ".join(f"{name} ({_mib(sizes[name])})" for name in largest)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"

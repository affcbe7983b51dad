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
from pytest_fargate_sandbox.providers.images.context_tree import CONTEXT_PHASE, ContextEntry, walk
from pytest_fargate_sandbox.providers.images.dockerignore import ignore_rules

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import ReadableBuffer

TAR_NAME = "context.tar"
"""The zip's one member."""

CONTEXT_LIMIT_BYTES = 5 << 30
"""A context above this is a mistake (a data set, a virtual environment), and more than CodeBuild's source takes."""

_CHUNK = 1 << 20
_NAME_FIELD = 100
_LARGEST_IN_OCTAL = 8**11
_USTAR = tarfile.POSIX_MAGIC.ljust(255, b"\0")
"""What fills a header's 512 bytes: the format's name, and nobody's user, group and device."""


def context_entries(directory: Path, limit: int = CONTEXT_LIMIT_BYTES) -> list[ContextEntry]:
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


def write_archive(entries: list[ContextEntry], stream: IO[bytes]) -> None:
    """Write the zip with the tar in it to ``stream``, which need not be seekable."""
    with zipfile.ZipFile(stream, "w") as archive, archive.open(TAR_NAME, "w", force_zip64=True) as member:
        buffered = io.BufferedWriter(_Raw(member), _CHUNK)
        for entry in entries:
            _add(buffered, entry)
        buffered.write(b"\0" * tarfile.BLOCKSIZE * 2)
        buffered.flush()


class ArchiveReader:
    """The archive as a file to read from while a thread writes it: what an upload wants. A context manager."""

    def __init__(self, entries: list[ContextEntry]) -> None:
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


def _add(archive: IO[bytes], entry: ContextEntry) -> None:
    size = entry.stat.st_size if entry.is_file else 0
    archive.write(_header(entry, size))
    if size:
        _copy(archive, entry, size)


def _header(entry: ContextEntry, size: int) -> bytes:
    name = os.fsencode(entry.name)
    link = os.fsencode(os.readlink(entry.path)) if entry.is_link else b""  # noqa: PTH115 - 10,000 of them
    if len(name) >= _NAME_FIELD or len(link) >= _NAME_FIELD or size >= _LARGEST_IN_OCTAL:
        return _long_header(entry, size, link)
    kind = tarfile.SYMTYPE if entry.is_link else tarfile.DIRTYPE if entry.is_directory else tarfile.REGTYPE
    numbers = (entry.permissions, 0, 0, size, int(entry.stat.st_mtime))
    start = name.ljust(_NAME_FIELD, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % numbers
    rest = kind + link.ljust(_NAME_FIELD, b"\0") + _USTAR
    # The checksum counts its own field as spaces.
    return start + b"%06o\0 " % (sum(start) + sum(rest) + 8 * ord(" ")) + rest


def _long_header(entry: ContextEntry, size: int, link: bytes) -> bytes:
    """tarfile's own, which knows what to do beyond the fields' lengths, at four times the time."""
    info = tarfile.TarInfo(entry.name)
    info.mode, info.mtime, info.size = entry.permissions, int(entry.stat.st_mtime), size
    if entry.is_link:
        info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(link)
    elif entry.is_directory:
        info.type = tarfile.DIRTYPE
    return info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape")


def _copy(archive: IO[bytes], entry: ContextEntry, size: int) -> None:
    left = size
    with open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123 - as above
        while left and (data := file.read(min(left, _CHUNK))):
            archive.write(data)
            left -= len(data)
    if left:
        raise ImageBuildError(f"{entry.path} shrank while it was packed; build again", phase=CONTEXT_PHASE)
    archive.write(b"\0" * (-size % tarfile.BLOCKSIZE))


def _biggest(entries: list[ContextEntry]) -> str:
    sizes: dict[str, int] = {}
    for entry in entries:
        if entry.is_file:
            top = entry.name.split("/", 1)[0]
            sizes[top] = sizes.get(top, 0) + entry.stat.st_size
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:3]
    return ", ".join(f"{name} ({_mib(sizes[name])})" for name in largest)


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"

"""The members of a tar stream whose writer is not trusted.

``tarfile`` parses a header well, and no more is asked of it: what stands between headers it reads into memory, however
much the writer says it is; it recurses for each header that describes another, waits for ever for the map of a sparse
file that is not there, and writes gigabytes of zeros for one that is.
"""

import tarfile

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files.file_protocol import LATEST
from pytest_fargate_sandbox.server.protocol import decoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator

_BLOCK = tarfile.BLOCKSIZE
_STEP = 256 * 1024
LONGEST_DESCRIPTION = 64 * 1024
"""Of what describes a member beside its header: two paths and a few numbers."""

_MOST_DESCRIPTIONS = 8
"""Of one member: a long name, a long link, and what pax has to say."""

_LONGEST_REST = 1024 * 1024
"""Behind the end: archives are padded to whole records."""


def unsafe(member: str, why: str) -> Failure:
    return Failure("unsafe_archive", "the member %.300r %s; nothing was changed" % (member, why), path=member)


def no_archive(why: object) -> Failure:
    return Failure("unsafe_archive", "this is no whole tar archive: %s" % why)


class TarReader:
    """Gives the members in turn; the content of each can be read until the next one is asked for."""

    def __init__(self, read: "Callable[[int], bytes]") -> None:
        self._read = read
        self._content = 0
        self._padding = 0
        self._descriptions = 0

    def __iter__(self) -> "Iterator[tarfile.TarInfo]":
        changes: "dict[str, str]" = {}
        while True:
            self._skip(self._content + self._padding)
            block = self._exactly(_BLOCK)
            if not block.strip(b"\0"):
                return self._end()
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except (tarfile.TarError, ValueError) as error:
                raise no_archive(error) from None
            if info.size < 0:
                raise no_archive("a size below zero")
            if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                key = "path" if info.type == tarfile.GNUTYPE_LONGNAME else "linkpath"
                changes[key] = decoded(self._description(info).partition(b"\0")[0])
            elif info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                changes.update(parsed_records(self._description(info)))
            elif info.type == tarfile.XGLTYPE:
                parsed_records(self._description(info))  # Of all members alike there is nothing that we would believe.
            else:
                self._change(info, changes)
                self._content = info.size if info.isreg() else 0
                self._padding = -self._content % _BLOCK
                self._descriptions = 0
                yield info
                changes = {}

    def content(self, most: int) -> bytes:
        """Some of the current member's; nothing at its end."""
        data = self._some(min(most, self._content)) if self._content else b""
        self._content -= len(data)
        return data

    def _change(self, info: tarfile.TarInfo, changes: "dict[str, str]") -> None:
        info.name = changes.get("path", info.name)
        info.linkname = changes.get("linkpath", info.linkname)
        if info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in changes):
            raise unsafe(info.name, "is sparse, and may be of any size")
        try:
            size, mtime = int(changes.get("size", info.size)), float(changes.get("mtime", info.mtime))
        except (ValueError, OverflowError):
            raise unsafe(info.name, "has a size or a time that is no number") from None
        if not 0 <= size < 1 << 62 or not abs(mtime) <= LATEST:
            raise unsafe(info.name, "has a size or a time that no file has")
        info.size, info.mtime = size, mtime

    def _description(self, info: tarfile.TarInfo) -> bytes:
        self._descriptions += 1
        if self._descriptions > _MOST_DESCRIPTIONS:
            raise no_archive("descriptions of descriptions")
        if info.size > LONGEST_DESCRIPTION:
            raise no_archive("a description of %d bytes" % info.size)
        data = self._exactly(info.size + -info.size % _BLOCK)
        return data[: info.size]

    def _some(self, most: int) -> bytes:
        data = self._read(most)
        if not data:
            raise no_archive("it ends in the middle")
        return data

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            parts.append(self._some(count))
            count -= len(parts[-1])
        return b"".join(parts)

    def _skip(self, count: int) -> None:
        while count:
            count -= len(self._some(min(count, _STEP)))
        self._content = self._padding = 0

    def _end(self) -> None:
        rest = 0
        while rest <= _LONGEST_REST:
            data = self._read(_STEP)
            if not data:
                return
            rest += len(data)
        raise no_archive("it goes on behind its end")


def parsed_records(data: bytes) -> "dict[str, str]":
    """Each is its own length in decimal, a space, ``key=value`` and a newline (pax in POSIX.1-2001)."""
    found = {}
    start = 0
    while start < len(data) and data[start]:
        space = data.find(b" ", start, start + 8)
        length = data[start:space]
        end = start + int(length) if space > 0 and length.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(data) or not equals or data[end - 1 : end] != b"\n":
            raise no_archive("a description that is none")
        found[decoded(key)] = decoded(value)
        start = end
    return found

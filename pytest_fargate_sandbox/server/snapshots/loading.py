"""A snapshot on its way into a directory: staged, checked to its last byte, and moved into place."""

import os
import tarfile

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files.archives import Unpacking
from pytest_fargate_sandbox.server.files.file_protocol import LATEST
from pytest_fargate_sandbox.server.files.tar_reader import unsafe
from pytest_fargate_sandbox.server.protocol import encoded
from pytest_fargate_sandbox.server.snapshots.known_tree import (
    NO_CONTENT,
    UNKNOWN_CONTENT,
    KnownTree,
    content_at,
    content_of_link,
)
from pytest_fargate_sandbox.server.snapshots.snapshot_format import USER_XATTR, XATTR, Facts
from pytest_fargate_sandbox.server.snapshots.snapshot_reader import SnapshotReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

_BLOCK = 256 * 1024


class Loading(Unpacking):
    """With all that is known of each member, and links as they are: they are followed nowhere but in the sandbox."""

    def __init__(
        self,
        staging: bytes,
        most: int,
        tree: KnownTree,
        landed: "Callable[[str, Facts], None]",
        *,
        keeps_owners: bool,
        modes: int,
    ) -> None:
        """``tree`` is what becomes known of what has ``landed``; its digest is told, and what could not be kept.

        ``modes`` are the bits of them that are kept.
        """
        Unpacking.__init__(self, staging, most)
        self._tree = tree
        self._landed = landed
        self._not_kept = Facts()
        self._keeps_owners = keeps_owners
        self._modes = modes

    def reader_of(self, read: "Callable[[int], bytes]") -> SnapshotReader:
        self.archive = SnapshotReader(read)
        return self.archive

    def _check_link(self, name: str, target: str) -> None:
        if not target or "\0" in target or len(encoded(target)) >= 4096:
            raise unsafe(name, "is a link to nothing that could be")

    def _make(self, archive: "Any", info: tarfile.TarInfo, name: str, path: bytes) -> None:
        self._tree.note_content(encoded(name), self._content_of(archive, info))
        Unpacking._make(self, archive, info, name, path)
        if info.issym():
            self._dress(path, info, name)

    def _content_of(self, archive: "Any", info: tarfile.TarInfo) -> bytes:
        if info.issym():
            return content_of_link(encoded(info.linkname))
        if info.islnk() and info.linkname in self._files:
            return self._tree.content_of(encoded(info.linkname))
        return content_at(archive.position) if archive.is_dense(info) else UNKNOWN_CONTENT

    def _write(self, archive: "Any", path: bytes, info: tarfile.TarInfo) -> None:
        segments, size = archive.segments(info)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            for offset, length in segments:
                os.lseek(file, offset, os.SEEK_SET)
                while length:
                    rest = memoryview(archive.content(min(length, _BLOCK)))
                    length -= len(rest)
                    while rest:
                        rest = rest[os.write(file, rest) :]
            os.ftruncate(file, size)
            self._dress(file, info, info.name)
        finally:
            os.close(file)

    def _dress_directories(self) -> None:
        """Not yet: what its owner may not write, he may not move either."""

    def settle(self, target: bytes, mode: int) -> None:
        saved_on, here = self.archive.facts.machine, os.uname().machine
        if saved_on != here:
            told = "it was saved on %.40r, and this is %s; nothing was changed: save one where it is the same"
            raise Failure("unsafe_archive", told % (saved_on, here))
        Unpacking.settle(self, target, mode)
        for name in sorted(self._directories, reverse=True):
            info = self._directories[name]
            if info is not None:
                self._dress(os.path.join(target, encoded(name)), info, name)
            self._tree.note_content(encoded(name), NO_CONTENT)
        self._tree.exclude = self.archive.facts.exclude
        self._tree.sign(target)
        self._landed(self.archive.sha256, self._not_kept)

    def _dress(self, path: "bytes | int", info: tarfile.TarInfo, name: str) -> None:
        if self._keeps_owners:
            os.chown(path, info.uid, info.gid, follow_symlinks=isinstance(path, int))
        elif info.uid or info.gid:
            self._not_kept.tell(encoded(name), "its owner, %d:%d" % (info.uid, info.gid))
        if not info.issym():
            for key, value in info.pax_headers.items():
                if key.startswith(XATTR + USER_XATTR):
                    self._set_xattr(path, key[len(XATTR) :], encoded(value), name)
            os.chmod(path, info.mode & self._modes)
        mtime = _mtime_ns(info)
        os.utime(path, ns=(mtime, mtime), follow_symlinks=isinstance(path, int))

    def _set_xattr(self, path: "bytes | int", key: str, value: bytes, name: str) -> None:
        try:
            os.setxattr(path, encoded(key), value)
        except OSError as error:  # not on this file system
            self._not_kept.tell(encoded(name), "its attribute %.260s: %s" % (key, error.strerror))


def _mtime_ns(info: tarfile.TarInfo) -> int:
    seconds, _, rest = info.pax_headers.get("mtime", str(int(info.mtime))).partition(".")
    try:
        found = int(seconds) * 10**9 + int(rest.ljust(9, "0")[:9])
    except ValueError:
        raise unsafe(info.name, "has a time that is no number") from None
    return max(-LATEST * 10**9, min(LATEST * 10**9, found))

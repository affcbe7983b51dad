"""A snapshot on its way into a directory: staged, checked to its last byte, and moved into place."""

import os
import tarfile

from pytest_fargate_sandbox.server.files.archives import Unpacking
from pytest_fargate_sandbox.server.files.file_protocol import LATEST
from pytest_fargate_sandbox.server.files.tar_reader import unsafe
from pytest_fargate_sandbox.server.protocol import encoded
from pytest_fargate_sandbox.server.snapshots.snapshot_format import USER_XATTR, XATTR
from pytest_fargate_sandbox.server.snapshots.snapshot_reader import SnapshotReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_BLOCK = 256 * 1024
_MODE = 0o7777


class Loading(Unpacking):
    """With all that is known of each member, and links as they are: they are followed nowhere but in the sandbox."""

    reader = SnapshotReader
    keeps_owners = False

    def _check_link(self, name: str, target: str) -> None:
        if not target or "\0" in target or len(encoded(target)) >= 4096:
            raise unsafe(name, "is a link to nothing that could be")

    def _make(self, archive: "Any", info: tarfile.TarInfo, name: str, path: bytes) -> None:
        Unpacking._make(self, archive, info, name, path)
        if info.issym():
            self._dress(path, info)

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
            self._dress(file, info)
        finally:
            os.close(file)

    def _dress_directories(self) -> None:
        """Not yet: what its owner may not write, he may not move either."""

    def settle(self, target: bytes, mode: int) -> None:
        Unpacking.settle(self, target, mode)
        for name in sorted(self._directories, reverse=True):
            info = self._directories[name]
            if info is not None:
                self._dress(os.path.join(target, encoded(name)), info)

    def _dress(self, path: "bytes | int", info: tarfile.TarInfo) -> None:
        if self.keeps_owners:
            os.chown(path, info.uid, info.gid, follow_symlinks=isinstance(path, int))
        if not info.issym():
            for key, value in info.pax_headers.items():
                if key.startswith(XATTR + USER_XATTR):
                    _set_xattr(path, key[len(XATTR) :], encoded(value))
            os.chmod(path, info.mode & _MODE)
        mtime = _mtime_ns(info)
        os.utime(path, ns=(mtime, mtime), follow_symlinks=isinstance(path, int))


class LoadingOfRoot(Loading):
    keeps_owners = True


def _set_xattr(path: "bytes | int", name: str, value: bytes) -> None:
    try:
        os.setxattr(path, encoded(name), value)
    except OSError:
        pass  # not on this file system


def _mtime_ns(info: tarfile.TarInfo) -> int:
    seconds, _, rest = info.pax_headers.get("mtime", str(int(info.mtime))).partition(".")
    try:
        found = int(seconds) * 10**9 + int(rest.ljust(9, "0")[:9])
    except ValueError:
        raise unsafe(info.name, "has a time that is no number") from None
    return max(-LATEST * 10**9, min(LATEST * 10**9, found))

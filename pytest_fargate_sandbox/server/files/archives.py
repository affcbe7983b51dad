"""A directory tree as a tar stream, and back. Both ends use this, and neither believes what it is sent.

What comes out goes into a staging directory first and is moved into place when the last member has been checked: an
archive that wants to leave its tree changes nothing.
"""

import errno
import os
import shutil
import stat
import tarfile

from pytest_fargate_sandbox.server.files.landings import at_once
from pytest_fargate_sandbox.server.files.tar_reader import TarReader, unsafe
from pytest_fargate_sandbox.server.protocol import decoded, encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterable, Iterator

    from pytest_fargate_sandbox.server.files.landings import Land

    How = Callable[[bytes, int], "Unpacking"]

_BLOCK = 256 * 1024
STAGING = b".fargate-sandbox-staging-"
_PERMISSIONS = 0o777
_NAME_MAX = 255
_PATH_MAX = 4096
"""The kernel's, with the zero at the end."""

DEEPEST = 256
"""Directories in each other: trees are walked by recursion, and removed by it, with a descriptor for each level."""

MOST_MEMBERS = 1_000_000
"""Files, links and directories, those included that an archive only implies."""

_GONE = (FileNotFoundError, NotADirectoryError)


# --- out ------------------------------------------------------------------------------------------------------------
def pack(root: bytes) -> "Iterator[bytes]":
    """The tar of everything in ``root``, in order of name, block by block; what goes away meanwhile was never there."""
    for name, path, status in _walk(root, b""):
        try:
            info = _info_of(name, path, status)
            file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if info.isreg() else -1
        except _GONE:
            continue
        try:
            yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            if info.isreg():
                yield from _content(file, info.size)
        finally:
            if info.isreg():
                os.close(file)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _walk(root: bytes, prefix: bytes) -> "Iterable[tuple[bytes, bytes, os.stat_result]]":
    try:
        entries = sorted(os.scandir(os.path.join(root, prefix) if prefix else root), key=lambda entry: entry.name)
    except _GONE:
        if not prefix:
            raise
        return
    for entry in entries:
        name = os.path.join(prefix, entry.name)
        if not prefix and entry.name.startswith(STAGING):
            continue  # Another upload on its way.
        try:
            status = entry.stat(follow_symlinks=False)
        except _GONE:
            continue
        yield name, entry.path, status
        if stat.S_ISDIR(status.st_mode):
            if name.count(b"/") + 2 > DEEPEST:
                raise unsafe(decoded(name), "is the deepest of more than %d directories" % DEEPEST)
            yield from _walk(root, name)


def _info_of(name: bytes, path: bytes, status: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(decoded(name))
    info.mode = status.st_mode & _PERMISSIONS
    info.mtime = int(status.st_mtime)
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(status.st_mode):
        info.type = tarfile.SYMTYPE
        info.linkname = decoded(os.readlink(path))
        _check_link(info.name, info.linkname)
    elif stat.S_ISREG(status.st_mode):
        info.size = status.st_size
    else:
        raise unsafe(info.name, "is neither a file, a directory nor a link")
    return info


def _content(file: int, size: int) -> "Iterable[bytes]":
    """Exactly the ``size`` that the header has promised, though the file may change, and what fills the last block."""
    left = size
    while left:
        data = os.read(file, min(left, _BLOCK))
        if not data:
            break
        left -= len(data)
        yield data
    missing = left + -size % tarfile.BLOCKSIZE
    while missing:
        yield bytes(min(missing, _BLOCK))
        missing -= min(missing, _BLOCK)


# --- in -------------------------------------------------------------------------------------------------------------
def unpack(
    read: "Callable[[int], bytes]",
    target: bytes,
    verify: "Callable[[], None]",
    most: int = MOST_MEMBERS,
    land: "Land" = at_once,
    how: "How | None" = None,
) -> None:
    """Put the tar that ``read`` gives into ``target``, which is made if need be, when ``verify`` has let it pass."""
    if os.path.lexists(target) and not os.path.isdir(target):
        raise NotADirectoryError(errno.ENOTDIR, "a file stands where a directory is meant", os.fsdecode(target))
    exists = os.path.isdir(target)
    if not exists:
        os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
    # In the tree if there is one, since it may be a mount of its own; else beside it.
    around = target if exists else os.path.dirname(os.path.abspath(target))
    staging = os.path.join(around, STAGING + os.urandom(6).hex().encode())
    try:
        _unpack_by_way_of((how or Unpacking)(staging, most), read, target, verify, land)
    except OSError as error:
        name = error.filename
        if not isinstance(name, bytes) or not name.startswith(staging):
            raise
        raise OSError(error.errno, error.strerror, target + name[len(staging) :]) from None  # The path that was meant.


def _unpack_by_way_of(
    unpacking: "Unpacking",
    read: "Callable[[int], bytes]",
    target: bytes,
    verify: "Callable[[], None]",
    land: "Land",
) -> None:
    staging = unpacking.staging
    os.mkdir(staging, 0o777)
    usual_mode = stat.S_IMODE(os.stat(staging).st_mode)
    os.chmod(staging, 0o700)
    try:
        mode = unpacking.run(read, usual_mode)
        verify()
        land(lambda: unpacking.settle(target, mode))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _settle(staging: bytes, target: bytes, mode: int) -> None:
    """Into the place that there is now: somebody may have made one since this began."""
    if not os.path.isdir(target):
        os.chmod(staging, mode)
        try:
            os.rename(staging, target)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            os.chmod(staging, 0o700)  # or nothing could be taken out of it
    _merge(staging, target)


class Unpacking:
    """One archive on its way into its staging directory."""

    def __init__(self, staging: bytes, most: int) -> None:
        self.staging = staging
        self._most = most
        self._mode = 0
        self._files: "set[str]" = set()
        self._links: "set[str]" = set()
        self._directories: "dict[str, tarfile.TarInfo | None]" = {}
        self._members = 0

    def run(self, read: "Callable[[int], bytes]", usual_mode: int) -> int:
        """The mode that the tree itself shall have."""
        self._mode = usual_mode
        archive = self.reader_of(read)
        for info in archive:
            self._take(archive, info)
        self._dress_directories()
        return self._mode

    def reader_of(self, read: "Callable[[int], bytes]") -> TarReader:
        return TarReader(read)

    def _take(self, archive: TarReader, info: tarfile.TarInfo) -> None:
        parts = _checked_parts(info)
        name = "/".join(parts)
        if not name:
            self._mode = info.mode & _PERMISSIONS
            return
        path = os.path.join(self.staging, encoded(name))
        if len(path) >= _PATH_MAX:
            raise unsafe(name, "has too long a path")
        self._make_parents(name, parts)
        try:
            if info.isdir():
                if name not in self._directories:
                    self._make_directory(name)
                self._directories[name] = info
            else:
                self._count(name)
                self._make(archive, info, name, path)
        except FileExistsError:
            raise unsafe(name, "stands there twice") from None

    def _make_parents(self, name: str, parts: "list[str]") -> None:
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent in self._links:
                raise unsafe(name, "lies behind a link of the same archive")
            if parent not in self._directories:
                try:
                    self._make_directory(parent)
                except FileExistsError:
                    raise unsafe(name, "lies behind a file of the same archive") from None

    def _make_directory(self, name: str) -> None:
        self._count(name)
        os.mkdir(os.path.join(self.staging, encoded(name)))
        self._directories[name] = None

    def _count(self, name: str) -> None:
        self._members += 1
        if self._members > self._most:
            raise unsafe(name, "is one of more than %d" % self._most)

    def _make(self, archive: TarReader, info: tarfile.TarInfo, name: str, path: bytes) -> None:
        if info.isreg():
            self._write(archive, path, info)
            self._files.add(name)
        elif info.issym():
            self._check_link(name, info.linkname)
            os.symlink(encoded(info.linkname), path)
            self._links.add(name)
        elif info.islnk():
            if info.linkname not in self._files:
                raise unsafe(name, "is a hard link to %r, which is no file before it in the archive" % info.linkname)
            os.link(os.path.join(self.staging, encoded(info.linkname)), path)
        else:
            raise unsafe(name, "is neither a file, a directory nor a link")

    def settle(self, target: bytes, mode: int) -> None:
        _settle(self.staging, target, mode)

    def _check_link(self, name: str, target: str) -> None:
        _check_link(name, target)

    def _write(self, archive: TarReader, path: bytes, info: tarfile.TarInfo) -> None:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            for data in iter(lambda: archive.content(_BLOCK), b""):
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(file, rest) :]
            os.fchmod(file, info.mode & _PERMISSIONS)
            os.utime(file, (info.mtime, info.mtime))
        finally:
            os.close(file)

    def _dress_directories(self) -> None:
        """Last, since a directory may forbid what its own members need; the deepest first."""
        for name in sorted(self._directories, reverse=True):
            info = self._directories[name]
            if info is None:
                continue  # The archive did not say how it is.
            path = os.path.join(self.staging, encoded(name))
            os.chmod(path, info.mode & _PERMISSIONS)
            os.utime(path, (info.mtime, info.mtime))


def _checked_parts(info: tarfile.TarInfo) -> "list[str]":
    """Where it goes, directory by directory."""
    if info.name.startswith("/"):
        raise unsafe(info.name, "has an absolute path")
    parts = [part for part in info.name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in info.name:
        raise unsafe(info.name, "wants to leave its tree")
    if len(parts) > DEEPEST:
        raise unsafe(info.name, "lies %d directories deep, where %d are allowed" % (len(parts), DEEPEST))
    if any(len(encoded(part)) > _NAME_MAX for part in parts):
        raise unsafe(info.name, "has too long a name")
    return parts


def _check_link(name: str, target: str) -> None:
    """A link may climb as far as its tree goes and descend from there; it may not climb again behind another link."""
    if not target or "\0" in target or len(encoded(target)) >= _PATH_MAX:
        raise unsafe(name, "is a link to nothing that could be")
    parts = [part for part in target.split("/") if part not in ("", ".")]
    climbs = 0
    while climbs < len(parts) and parts[climbs] == "..":
        climbs += 1
    if target.startswith("/") or climbs > name.count("/") or ".." in parts[climbs:]:
        raise unsafe(name, "is a link out of its tree, to %r" % target)


def _merge(source: bytes, target: bytes) -> None:
    """Move all of it into what is there. What does not fit is found before the first move."""
    for old, new in list(_moves(source, target)):
        os.rename(old, new)


def _moves(source: bytes, target: bytes) -> "Iterable[tuple[bytes, bytes]]":
    for entry in os.scandir(source):
        new = os.path.join(target, entry.name)
        is_directory = entry.is_dir(follow_symlinks=False)
        if not os.path.lexists(new):
            yield entry.path, new
        elif is_directory != (os.path.isdir(new) and not os.path.islink(new)):
            if is_directory:
                raise NotADirectoryError(errno.ENOTDIR, "no directory, and nothing was changed", new)
            raise IsADirectoryError(errno.EISDIR, "a directory, and nothing was changed", new)
        elif is_directory:
            yield from _moves(entry.path, new)
        else:
            yield entry.path, new

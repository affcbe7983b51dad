"""A tree as a snapshot, block by block.

Every name is opened in the directory that was opened before it, and no link is followed.
"""

import errno
import hashlib
import os
import stat
import tarfile
import time

from pytest_fargate_sandbox.server.artifacts.globs import Glob
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files.archives import DEEPEST, STAGING
from pytest_fargate_sandbox.server.protocol import decoded, encoded
from pytest_fargate_sandbox.server.snapshots import known_tree, snapshot_format
from pytest_fargate_sandbox.server.snapshots.known_tree import NO_CONTENT, UNKNOWN_CONTENT, KnownTree
from pytest_fargate_sandbox.server.snapshots.snapshot_format import MOST_SEGMENTS, USER_XATTR, XATTR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    Segments = list[tuple[int, int]]

_BLOCK = 256 * 1024
LONGEST_PATH = 3500
"""Where it is loaded stands before it, and the kernel takes 4096."""

_LONGEST_XATTRS = 32 * 1024
_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class Saving:
    def __init__(self, root: str, tree: KnownTree, own_uid: int, *, only_known: bool = False) -> None:
        """``tree`` is what becomes known of it. If that is all that is wanted, no content comes, but is digested.

        What belongs to ``own_uid`` will belong to whoever loads it.
        """
        self._root = root
        self._globs = [Glob.of(pattern) for pattern in tree.exclude]
        self._own_uid = own_uid
        self._facts = snapshot_format.Facts(exclude=tree.exclude)
        self._tree = tree
        self._only_known = only_known
        self._first_names: "dict[tuple[int, int], str]" = {}
        self._at = 0
        self.sha256 = ""
        """Of all of it, at its end."""

    def blocks(self) -> "Iterator[bytes]":
        try:
            directory = os.open(encoded(self._root), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Failure.of_os_error(error, self._root) from None
        digest = hashlib.sha256()
        time.sleep(known_tree.TICK_SEC)  # what was changed before we were asked is told from what changes meanwhile
        try:
            for block in self._directory(directory, b"", [glob.begin for glob in self._globs]):
                digest.update(block)
                self._at += len(block)
                yield block
        finally:
            os.close(directory)
        self._tree.settle()
        end = self._facts.end(digest)
        self.sha256 = digest.hexdigest()
        yield end

    def _directory(self, directory: int, path: bytes, states: "list[frozenset[int]]") -> "Iterator[bytes]":
        status = os.fstat(directory)
        info = self._info(path or b".", status, tarfile.DIRTYPE)
        yield self._head(info, self._xattrs(directory, path))
        for name in sorted(map(os.fsencode, os.listdir(directory))):  # by descriptor they come as text
            after = [glob.step(state, decoded(name)) for glob, state in zip(self._globs, states)]
            is_left_out = any(glob.is_whole(state) for glob, state in zip(self._globs, after))
            if is_left_out or (not path and name.startswith(STAGING)):
                continue
            below = os.path.join(path, name)
            try:
                yield from self._entry(directory, name, below, status.st_dev, after)
            except OSError as error:
                if error.errno != errno.ENOENT:  # it went away meanwhile
                    self._facts.tell(below, error.strerror or str(error))

    def _entry(
        self, directory: int, name: bytes, path: bytes, device: int, states: "list[frozenset[int]]"
    ) -> "Iterator[bytes]":
        now = time.time()
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        is_directory = stat.S_ISDIR(status.st_mode)
        if is_directory and status.st_dev != device:
            self._facts.tell(path, "another file system")
            return
        self._tree.note(path, status, NO_CONTENT if is_directory else UNKNOWN_CONTENT, now)
        if len(path) > LONGEST_PATH or path.count(b"/") + 2 > DEEPEST:
            self._facts.tell(path, "lies too deep")
            return
        if is_directory:
            file = os.open(name, known_tree.DIRECTORY, dir_fd=directory)
        elif stat.S_ISLNK(status.st_mode):
            info = self._info(path, status, tarfile.SYMTYPE)
            target = os.readlink(name, dir_fd=directory)
            info.linkname = decoded(target)
            self._tree.note(path, status, known_tree.content_of_link(target), now)
            yield self._head(info, {})
            return
        elif stat.S_ISREG(status.st_mode):
            file = os.open(name, known_tree.FILE, dir_fd=directory)
        else:
            self._facts.tell(path, _KINDS.get(stat.S_IFMT(status.st_mode), "neither a file, a directory nor a link"))
            return
        try:
            if is_directory:
                yield from self._directory(file, path, states)
            else:
                yield from self._file(file, path)
        finally:
            os.close(file)

    def _file(self, file: int, path: bytes) -> "Iterator[bytes]":
        now, status = time.time(), os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            self._facts.tell(path, "it became something else meanwhile")
            return
        info = self._info(path, status, tarfile.REGTYPE)
        if status.st_nlink > 1:
            first = self._first_names.setdefault((status.st_dev, status.st_ino), info.name)
            if first != info.name:
                info.type, info.linkname = tarfile.LNKTYPE, first
                self._tree.note(path, status, self._tree.content_of(encoded(first)), now)
                yield self._head(info, {})
                return
        has_holes = status.st_blocks * 512 < status.st_size
        if self._only_known:
            if not has_holes:
                self._tree.note(path, status, known_tree.content_of_file(file, status.st_size), now)
            return
        segments, about, begin = [(0, status.st_size)], self._xattrs(file, path), b""
        if has_holes:
            segments = _segments(file, status.st_size)
            begin = _map_of(segments)
            about.update(_sparse(info.name, status.st_size))
        info.size = len(begin) + sum(size for _, size in segments)
        head = self._head(info, about) + begin
        if not has_holes:
            self._tree.note(path, status, known_tree.content_at(self._at + len(head)), now)
        yield head
        for offset, size in segments:
            yield from self._content(file, path, offset, size)
        yield bytes(-info.size % tarfile.BLOCKSIZE)

    def _content(self, file: int, path: bytes, offset: int, size: int) -> "Iterator[bytes]":
        """Exactly so much, though the file may change."""
        end = offset + size
        while offset < end:
            data = os.pread(file, min(end - offset, _BLOCK), offset)
            if not data:
                self._facts.tell(path, "it became shorter meanwhile, and has zeros at its end")
                while offset < end:
                    yield bytes(min(end - offset, _BLOCK))
                    offset += _BLOCK
                return
            offset += len(data)
            yield data

    def _info(self, path: bytes, status: os.stat_result, kind: bytes) -> tarfile.TarInfo:
        info = tarfile.TarInfo(decoded(path))
        info.type = kind
        info.mode = stat.S_IMODE(status.st_mode)
        is_own = status.st_uid == self._own_uid
        info.uid = 0 if is_own else status.st_uid
        info.gid = 0 if is_own and self._own_uid else status.st_gid  # root's files may be a group's
        seconds, rest = divmod(status.st_mtime_ns, 10**9)
        info.pax_headers = {"mtime": "%d.%09d" % (seconds, rest) if rest and seconds >= 0 else str(seconds)}
        return info

    def _head(self, info: tarfile.TarInfo, about: "dict[str, str]") -> bytes:
        self._facts.members += 1
        if self._only_known:
            return b""
        info.pax_headers = dict(info.pax_headers, **about)
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

    def _xattrs(self, file: int, path: bytes) -> "dict[str, str]":
        found: "dict[str, str]" = {}
        room = _LONGEST_XATTRS
        try:
            names = os.listxattr(file)
        except OSError:  # there are none here
            return found
        for name in names:
            if name == "security.selinux":
                continue  # the host's
            value = os.getxattr(file, name) if name.startswith(USER_XATTR) else None
            room -= len(name) + len(value or b"")
            if value is None or "=" in name or room < 0:
                self._facts.tell(path, "its attribute %.260s" % name)
            else:
                found[XATTR + name] = decoded(value)
        return found


def _segments(file: int, size: int) -> "Segments":
    """What is between the holes, and an empty one at the end, as GNU tar has it."""
    found: "Segments" = []
    end = 0
    while end < size:
        try:
            begin = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # nothing but a hole is left
                raise
            break
        end = size if len(found) >= MOST_SEGMENTS else min(size, os.lseek(file, begin, os.SEEK_HOLE))
        if begin >= end:
            break
        found.append((begin, end - begin))
    return found if end == size else [*found, (size, 0)]


def _map_of(segments: "Segments") -> bytes:
    numbers = [len(segments), *(number for segment in segments for number in segment)]
    told = "".join("%d\n" % number for number in numbers).encode("ascii")
    return told + bytes(-len(told) % tarfile.BLOCKSIZE)


def _sparse(name: str, size: int) -> "dict[str, str]":
    """https://www.gnu.org/software/tar/manual/html_node/PAX-1.html"""
    return {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": name,
        "GNU.sparse.realsize": str(size),
    }

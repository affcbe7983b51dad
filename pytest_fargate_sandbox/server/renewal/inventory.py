"""All that stands in a container's file systems, in a few bytes each: enough to tell what has become of them.

What is there and was not has been added. Whatever is done to a file changes its ctime, which nobody can set.
Directories, pipes and devices are known by their mode and owner: who uses them changes their ctime too. So nothing is
read, and files are not even looked at until the end.
"""

import array
import bisect
import os
import time
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Iterator

_NOT_OURS = frozenset(b"proc sysfs cgroup cgroup2 devpts devtmpfs nfs nfs4".split())
"""File systems that are the kernel's, or that others share."""
_TICK_SEC = 0.001
_CLOCKS_APART_SEC = 0.5
_TOLD = 3
_AT_ONCE = 1000
_IS_QUICK = os.scandir in os.supports_fd
"""Since Python 3.7, and twice as quick: the kernel need not look for each name from the root on."""


class NotAsBefore(Exception):
    """Something was changed that cannot be undone by taking away what was added."""


class Inventory:
    def __init__(self, work_dir: bytes, root: bytes = b"") -> None:
        """Of what is below ``root``; ``work_dir`` is the server's own, which is not looked into."""
        self._work_dir, self._root = work_dir, root
        self._mounts = _mounts(root)
        names, others, self._paths = array.array("q"), set(), _Paths()
        for path, entry, _ in self._walk(lambda _path: True):
            try:
                if not _has_content(entry):
                    others.add(_key_of(path, entry))
            except FileNotFoundError:  # it went away meanwhile
                continue
            names.append(hash(path))
            self._paths.append(path)
        self._paths.close()
        self._names = array.array("q", sorted(names))
        self._others = others
        self._moment = _moment_now(work_dir)
        self._clock = time.time() - time.monotonic()

    def added(self) -> "list[bytes]":
        """What is there and was not, without what is in it. Raises ``NotAsBefore`` where anything else is otherwise."""
        if _mounts(self._root) != self._mounts:
            raise NotAsBefore("something was mounted, or is no more")
        if time.time() - time.monotonic() < self._clock - _CLOCKS_APART_SEC:
            raise NotAsBefore("the clock was set back")
        added, changed, seen = [], [], 0
        for path, entry, is_known in self._walk(self._knows):
            if not is_known:
                added.append(path)
                continue
            try:
                if self._was_changed(path, entry):
                    changed.append(path)
            except FileNotFoundError:  # it went away meanwhile
                continue
            seen += 1
        if changed:
            raise NotAsBefore("%s: changed" % _told(changed[:_TOLD], len(changed)))
        if seen < len(self._names):
            count, gone = len(self._names) - seen, self._paths.first_gone()
            raise NotAsBefore("%s: there no more" % _told(gone, count) if gone else "%d files went and came" % count)
        return added

    def _knows(self, path: bytes) -> bool:
        key = hash(path)
        place = bisect.bisect_left(self._names, key)
        return place < len(self._names) and self._names[place] == key

    def _was_changed(self, path: bytes, entry: "os.DirEntry[Any]") -> bool:
        if _has_content(entry):
            return _status_of(path, entry).st_ctime_ns > self._moment
        return _key_of(path, entry) not in self._others

    def _walk(self, is_known: "Callable[[bytes], bool]") -> "Iterator[tuple[bytes, os.DirEntry[Any], bool]]":
        """All entries, of each directory that is known; what may not be looked into has nothing of ours in it."""
        pending = [self._root]
        while pending:
            directory = pending.pop()
            try:
                opened = os.open(directory or b"/", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                with os.scandir(opened if _IS_QUICK else directory or b"/") as entries:
                    for entry in entries:
                        path = directory + b"/" + os.fsencode(entry.name)
                        if path == self._work_dir or not self._mounts.get(path, True):
                            continue
                        known = is_known(path)
                        yield path, entry, known
                        if known and entry.is_dir(follow_symlinks=False):
                            pending.append(path)
            except (FileNotFoundError, NotADirectoryError):  # it went away meanwhile
                continue
            except OSError as error:
                raise OSError(error.errno, error.strerror, os.fsdecode(directory)) from None
            finally:
                os.close(opened)


class _Paths:
    """Many of them, in little room."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(1)
        self._waiting: "list[bytes]" = []
        self._packed: "list[bytes]" = []

    def append(self, path: bytes) -> None:
        self._waiting.append(path)
        if len(self._waiting) == _AT_ONCE:
            self._pack()

    def close(self) -> None:
        self._pack()
        self._packed.append(self._packer.flush())

    def _pack(self) -> None:
        self._packed.append(self._packer.compress(b"".join(path + b"\0" for path in self._waiting)))
        self._waiting = []

    def first_gone(self) -> "list[bytes]":
        """Those that are told of what is there no more, without what was in it."""
        told: "list[bytes]" = []
        gone = set()
        for path in self._all():
            if _is_gone(path):
                gone.add(path)
                if os.path.dirname(path) not in gone:
                    told.append(path)
                if len(told) == _TOLD:
                    break
        return told

    def _all(self) -> "Iterator[bytes]":
        unpacker, rest = zlib.decompressobj(), b""
        for packed in self._packed:
            *whole, rest = (rest + unpacker.decompress(packed)).split(b"\0")
            for path in whole:
                yield path


def _is_gone(path: bytes) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _told(paths: "list[bytes]", count: int) -> str:
    more = " and %d more" % (count - len(paths)) if count > len(paths) else ""
    return ", ".join(map(os.fsdecode, paths)) + more


def _has_content(entry: "os.DirEntry[Any]") -> bool:
    return entry.is_file(follow_symlinks=False) or entry.is_symlink()


def _key_of(path: bytes, entry: "os.DirEntry[Any]") -> int:
    found = _status_of(path, entry)
    return hash((path, found.st_mode, found.st_uid, found.st_gid, found.st_rdev))


def _status_of(path: bytes, entry: "os.DirEntry[Any]") -> os.stat_result:
    try:
        return entry.stat(follow_symlinks=False)
    except OSError as error:  # which names it as it was found: below a directory that was open
        raise OSError(error.errno, error.strerror, os.fsdecode(path)) from None


def _mounts(root: bytes) -> "dict[bytes, bool]":
    """Whether what is mounted there, below ``root``, can have been changed by commands, and by nobody else.

    https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
    """
    found = {}
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            about, _, rest = line.partition(b" - ")
            point, options = about.split()[4:6]
            path = point.replace(b"\\040", b" ").replace(b"\\011", b"\t").replace(b"\\012", b"\n")
            path = path.replace(b"\\134", b"\\")
            if path.startswith(root + b"/"):
                found[path] = rest.split()[0] not in _NOT_OURS and b"ro" not in options.split(b",")
    return found


def _moment_now(directory: bytes) -> int:
    """A ctime that no later change has, by the clock of file systems, which ticks slowly."""
    path = os.path.join(directory, b"moment")
    try:
        first = later = _ctime_of_new(path)
        while later == first:
            time.sleep(_TICK_SEC)
            later = _ctime_of_new(path)
    finally:
        os.unlink(path)
    return first


def _ctime_of_new(path: bytes) -> int:
    with open(path, "wb", buffering=0) as file:
        file.write(b".")
        return os.fstat(file.fileno()).st_ctime_ns

"""Directories in which everybody may leave files, and what a tenant left in them."""

import errno
import os
import stat
import threading
import time

from pytest_fargate_sandbox.server.slots import emptying

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Optional

_FORBIDDING = (b"proc", b"sysfs", b"cgroup", b"cgroup2", b"devpts", b"securityfs", b"debugfs", b"tracefs", b"bpf")
"""File systems in which no tenant makes anything."""

_COUNTING = (b"overlay", b"ext4", b"xfs", b"tmpfs")
"""File systems in which a directory that has two links has no other in it; one that is merged of several has one link.
Others count as they like: https://www.gnu.org/software/findutils/manual/html_mono/find.html#index-_002dnoleaf"""

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TICK_NS = 50 * 1000 * 1000
"""Times of files advance in ticks of the kernel's, of 10 ms at most; with some to spare."""

_PATIENCE_SEC = 2.0
"""Who renames what is to be removed, all the time, is faster than we are, but not always."""


class SharedPlaces:
    """All world-writable directories of the machine, looked for once, beside what else is going on."""

    def __init__(self, without: bytes, tenants: range, spools: bytes) -> None:
        """Not in what belongs to ``tenants``, who could make more of it than we look through; ``spools`` is our own."""
        self.tenants = tenants
        self._found = [spools]
        self._looker = threading.Thread(target=self._look, args=(without,), name="shared places", daemon=True)
        self._looker.start()

    def _look(self, without: bytes) -> None:
        closed = set(mounts_of(_FORBIDDING)) | {without}
        self._found += open_to_all(b"/", closed, self.tenants, counting_device())

    def all(self) -> "list[bytes]":
        self._looker.join()
        return self._found


class Share:
    """What one user may have left there."""

    def __init__(self, places: SharedPlaces, uid: int) -> None:
        self._places = places
        self._uid = uid
        self._clean_since: "dict[bytes, int]" = {}

    def remove(self) -> None:
        """Look where something changed since it was last clean: the time of a change cannot be set by anybody."""
        for place in self._places.all():
            try:
                changed = os.lstat(place).st_ctime_ns
            except OSError:
                continue
            if self._clean_since.get(place) == changed:
                continue
            self._clean_since.pop(place, None)
            if self._remove_from(place) and not _is_of_now(changed):
                self._clean_since[place] = changed

    def _remove_from(self, place: bytes) -> bool:
        """Whether that changed nothing, and there is no directory within in which he could leave something unseen."""
        is_quiet = True
        pending = [place]
        while pending:
            directory = pending.pop()
            try:
                file = os.open(directory, _OPEN)
            except OSError:
                continue
            try:
                was_clean, open_ones = self._clear(file)
            finally:
                os.close(file)
            is_quiet = is_quiet and was_clean and not open_ones
            pending += [os.path.join(directory, name) for name in open_ones]
        return is_quiet

    def _clear(self, directory: int) -> "tuple[bool, list[bytes]]":
        """Remove what is his; whether there was none, and the directories in which he may have something too."""
        last = OSError(errno.EBUSY, "somebody keeps moving what is to be removed")
        end = time.monotonic() + _PATIENCE_SEC
        was_clean = True
        while time.monotonic() < end:
            his, open_ones, is_whole = self._entries(directory)
            if not his and is_whole:
                return was_clean, open_ones
            was_clean = False
            try:
                for name in his:
                    emptying.remove(name, directory, self._uid)
            except OSError as error:
                last = error
        raise last

    def _entries(self, directory: int) -> "tuple[list[bytes], list[bytes], bool]":
        """What is his, and the directories of neighbours, who may open them at any time, and those open to all.

        And whether that is all: what has gone since it was listed may only have another name by now.
        """
        his, open_ones, is_whole = [], [], True
        for text in os.listdir(directory):
            name = os.fsencode(text)
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except OSError:
                is_whole = False
                continue
            if status.st_uid == self._uid:
                his.append(name)
            elif stat.S_ISDIR(status.st_mode) and self._may_open(status):
                open_ones.append(name)
        return his, open_ones, is_whole

    def _may_open(self, directory: os.stat_result) -> bool:
        return directory.st_uid in self._places.tenants or bool(directory.st_mode & stat.S_IWOTH)


def open_to_all(top: bytes, closed: "set[bytes]", tenants: range, counting: "Optional[int]") -> "list[bytes]":
    """World-writable directories; on the device that is ``counting`` none without others is looked into."""
    found, pending = [], [top]
    while pending:
        directory = pending.pop()
        if directory in closed:
            continue
        try:
            status = os.lstat(directory)
            if status.st_uid in tenants:
                continue
            if status.st_mode & stat.S_IWOTH:
                found.append(directory)
            if status.st_nlink == 2 and status.st_dev == counting:
                continue
            with os.scandir(directory) as entries:
                pending += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
    return found


def counting_device() -> "Optional[int]":
    """That of the root, if its file system is one of those; what is mounted below has another."""
    try:
        with open("/proc/self/mounts", "rb") as file:
            kinds = [fields[2] for fields in map(bytes.split, file) if fields[1] == b"/"]
        return os.lstat(b"/").st_dev if kinds and kinds[-1] in _COUNTING else None
    except OSError:
        return None


def _is_of_now(changed: int) -> bool:
    """In the tick in which it was changed it could be changed again, and look the same."""
    return abs(int(time.time() * 1e9) - changed) <= _TICK_NS


def mounts_of(kinds: "tuple[bytes, ...]") -> "Iterator[bytes]":
    try:
        with open("/proc/self/mounts", "rb") as file:
            for line in file:
                fields = line.split()
                if fields[2] in kinds:
                    yield fields[1].replace(b"\\040", b" ")
    except OSError:
        yield b"/proc"

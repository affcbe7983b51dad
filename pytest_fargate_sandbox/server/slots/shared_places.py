"""Directories in which everybody may leave files, and what a tenant left in them."""

import os
import stat
import threading
import time

from pytest_fargate_sandbox.server.slots import emptying

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

_FORBIDDING = (b"proc", b"sysfs", b"cgroup", b"cgroup2", b"devpts", b"securityfs", b"debugfs", b"tracefs", b"bpf")
"""File systems in which no tenant makes anything."""

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TICK_NS = 50 * 1000 * 1000
"""Times of files advance in ticks of the kernel's, of 10 ms at most; with some to spare."""


class SharedPlaces:
    """All world-writable directories of the machine, looked for once, beside what else is going on."""

    def __init__(self, without: bytes) -> None:
        self._found: "list[bytes]" = []
        self._looker = threading.Thread(target=self._look, args=(without,), name="shared places", daemon=True)
        self._looker.start()

    def _look(self, without: bytes) -> None:
        closed = set(_mounts_of(_FORBIDDING)) | {without}
        pending = [b"/"]
        while pending:
            directory = pending.pop()
            if directory in closed:
                continue
            try:
                if os.lstat(directory).st_mode & stat.S_IWOTH:
                    self._found.append(directory)
                with os.scandir(directory) as entries:
                    pending += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
            except OSError:
                continue

    def all(self) -> "list[bytes]":
        self._looker.join()
        return self._found


class Share:
    """What one user may have left there."""

    def __init__(self, places: SharedPlaces, uid: int, neighbours: "range") -> None:
        """In directories of ``neighbours`` he may have left something too."""
        self._places = places
        self._uid = uid
        self._neighbours = neighbours
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
            self._remove_from(place)
            self._remember(place)

    def _remember(self, place: bytes) -> None:
        """It is clean now; in the tick in which it was changed it could be changed again, and look the same."""
        changed = os.lstat(place).st_ctime_ns
        if abs(time.time_ns() - changed if hasattr(time, "time_ns") else 0) > _TICK_NS:
            self._clean_since[place] = changed
        else:
            self._clean_since.pop(place, None)

    def _remove_from(self, place: bytes) -> None:
        pending = [place]
        while pending:
            directory = pending.pop()
            try:
                file = os.open(directory, _OPEN)
            except OSError:
                continue
            try:
                pending += [os.path.join(directory, name) for name in self._sorted_out(file)]
            finally:
                os.close(file)

    def _sorted_out(self, directory: int) -> "Iterator[bytes]":
        """Remove what is his; which others may have something of his in them."""
        for text in os.listdir(directory):
            name = os.fsencode(text)
            try:
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except OSError:
                continue
            if status.st_uid == self._uid:
                emptying.remove(name, directory)
            elif stat.S_ISDIR(status.st_mode) and status.st_uid in self._neighbours:
                yield name


def _mounts_of(kinds: "tuple[bytes, ...]") -> "Iterator[bytes]":
    try:
        with open("/proc/self/mounts", "rb") as file:
            for line in file:
                fields = line.split()
                if fields[2] in kinds:
                    yield fields[1].replace(b"\\040", b" ")
    except OSError:
        yield b"/proc"

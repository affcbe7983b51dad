"""What is in a directory, and in those within it: without links, with an end, and one directory open at a time."""

import os
import stat
import time

from pytest_fargate_sandbox.server.artifacts.confines import Confines
from pytest_fargate_sandbox.server.artifacts.globs import Glob
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import decoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import FrozenSet, Iterator, Sequence, Tuple

    Row = Tuple[bytes, bool, FrozenSet[int]]

LONGEST_SEC = 30.0
"""A walk ends then, whatever is still to be seen: in a directory that grows as fast as it is read, say."""

_MOST_LOOKED_AT = 2000000
_MOST_KEPT = 50000
"""Of one directory, in memory: of more than these it is chance which are the first."""

_OF_THE_KERNEL = ("/proc", "/sys")


class Entry:
    """Something that was met. ``directory`` is open until the next one is."""

    def __init__(self, names: "Sequence[bytes]", status: os.stat_result, directory: int) -> None:
        self.names = names
        self.status = status
        self.directory = directory

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.status.st_mode)


class Walk:
    """From one directory on."""

    def __init__(self, confines: Confines, base: "Sequence[bytes]", most_entries: int) -> None:
        self._confines = confines
        self._base = tuple(base)
        self._left = most_entries
        self._looked_at = 0
        self._ends = time.monotonic() + LONGEST_SEC
        self._closed = _devices_of_the_kernel()
        self.has_more = False
        """Whether a bound has ended it."""
        self.troubles: "list[tuple[Sequence[bytes], OSError | Failure]]" = []
        """Directories that could not be looked into."""

    def all(self, glob: Glob, *, descend: bool = True) -> "Iterator[Entry]":
        """What fits, with all that is in directories that fit; each directory in order of name."""
        pending = [(self._base, glob.begin)]
        while pending and not self.has_more:
            names, states = pending.pop()
            directory = self._opened(names)
            if directory is None:
                continue
            deeper = []
            try:
                for name, is_dir, after in self._fitting(names, directory, glob, states):
                    if glob.is_whole(after):
                        yield from self._entry((*names, name), directory)
                        if self._left < 0:
                            self.has_more = True
                            break
                    if is_dir and descend:
                        deeper.append(((*names, name), after))
            finally:
                os.close(directory)
            pending += reversed(deeper)

    def _entry(self, names: "tuple[bytes, ...]", directory: int) -> "Iterator[Entry]":
        """Unless it has gone meanwhile, or is one too many."""
        try:
            status = os.stat(names[-1], dir_fd=directory, follow_symlinks=False)
        except OSError:
            return
        self._left -= 1
        if self._left >= 0:
            yield Entry(names, status, directory)

    def _opened(self, names: "tuple[bytes, ...]") -> "int | None":
        try:
            directory = self._confines.open_directory(names)
        except (OSError, Failure) as error:
            if names == self._base or not isinstance(error, FileNotFoundError):  # else it went away meanwhile
                self.troubles.append((names, error))
            return None
        if names == self._base or os.fstat(directory).st_dev not in self._closed:
            return directory
        os.close(directory)
        return None

    def _fitting(self, names: "tuple[bytes, ...]", directory: int, glob: Glob, states: "FrozenSet[int]") -> "list[Row]":
        """In order of name, with directories in which there may be more."""
        rows: "list[Row]" = []
        try:
            for name, is_dir in self._names_in(directory):
                after = glob.step(states, decoded(name))
                if glob.is_whole(after) or (after and is_dir):
                    if len(rows) == _MOST_KEPT:
                        self.has_more = True
                        break
                    rows.append((name, is_dir, after))
        except OSError as error:
            self.troubles.append((names, error))
        rows.sort()
        return rows

    def _names_in(self, directory: int) -> "Iterator[tuple[bytes, bool]]":
        # Python 3.6 has no ``scandir`` of a descriptor. https://docs.python.org/3/library/os.html#os.scandir
        where = directory if os.scandir in os.supports_fd else "/proc/self/fd/%d" % directory
        with os.scandir(where) as entries:
            for entry in entries:
                self._looked_at += 1
                if self._looked_at > _MOST_LOOKED_AT or (not self._looked_at % 1024 and time.monotonic() > self._ends):
                    self.has_more = True
                    return
                yield os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)


def _devices_of_the_kernel() -> "set[int]":
    """File systems that tell of the machine, and are of no use as files: they are looked into if they are named."""
    devices = {os.stat(path).st_dev for path in _OF_THE_KERNEL if os.path.isdir(path)}
    return devices - {os.stat("/").st_dev}

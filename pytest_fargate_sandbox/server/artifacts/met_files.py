"""The files that stand behind a path or a glob, opened one after the other."""

import errno
import os

from pytest_fargate_sandbox.server.artifacts.confines import Confines, opened_file
from pytest_fargate_sandbox.server.artifacts.globs import Glob
from pytest_fargate_sandbox.server.artifacts.walk import Entry, Walk
from pytest_fargate_sandbox.server.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Sequence

EVERYTHING = Glob(b"**")


class Met:
    """A file that is open for as long as this is the newest; a directory, which is not; or what is wrong with it."""

    def __init__(
        self,
        names: "Sequence[bytes]",
        status: "os.stat_result | None" = None,
        file: "int | None" = None,
        error: "OSError | Failure | None" = None,
    ) -> None:
        self.names = tuple(names)
        self.status = status
        self.file = file
        self.error = error


class MetFiles:
    """All that ``glob`` fits in the directory ``base``; without one the file ``base``, or all that is in it."""

    def __init__(self, confines: Confines, base: bytes, glob: "Glob | None", most_entries: int) -> None:
        self._confines = confines
        self._base = base
        self._glob = glob
        self._most = most_entries
        self.has_more = False

    def __iter__(self) -> "Iterator[Met]":
        with self._confines.find(self._base) as found:
            names = found.names
            if not found.is_dir:
                if self._glob is None:
                    yield from _while_open(names, *found.open_file())
                return
        walk = Walk(self._confines, names, self._most)
        for entry in walk.all(self._glob or EVERYTHING):
            if entry.is_dir:
                yield Met(entry.names, entry.status)
                continue
            try:
                file, status = self._opened(entry)
            except (OSError, Failure) as error:
                if entry.is_link or not isinstance(error, FileNotFoundError):  # else it went away meanwhile
                    yield Met(entry.names, error=error)
            else:
                yield from _while_open(entry.names, file, status)
        for path, reason in walk.troubles:
            yield Met(path, error=reason)
        self.has_more = walk.has_more

    def _opened(self, entry: Entry) -> "tuple[int, os.stat_result]":
        if not entry.is_link:
            return opened_file(entry.names[-1], entry.directory)
        with self._confines.find(self._confines.path_of(entry.names)) as found:
            if found.is_dir:
                raise OSError(errno.EISDIR, "a link to a directory, which is not followed")
            return found.open_file()


def _while_open(names: "Sequence[bytes]", file: int, status: os.stat_result) -> "Iterator[Met]":
    try:
        yield Met(names, status, file)
    finally:
        os.close(file)

"""Finding what lies in a workspace, and nothing beside it, whoever swaps names for links meanwhile.

Every name is opened in the directory that was opened before it, and the kernel follows no link: one that stays inside
is followed here, name by name. So it is of no use to change a path behind our back.
"""

import errno
import os
import stat

from pytest_fargate_sandbox.server.artifacts.artifact_protocol import LONGEST_PATH
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files.archives import DEEPEST
from pytest_fargate_sandbox.server.protocol import decoded, encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Sequence

_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
# Not blocking, or a FIFO would keep us for ever, and no terminal becomes ours.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MOST_LINKS = 40
"""As many as the kernel follows."""


class Confines:
    def __init__(self, root: str) -> None:
        """``root`` is the workspace, where relative paths begin; empty: the container, and where the server is."""
        self._root = encoded(root) or b"/"
        self._start = () if root else _names(_where_we_are())

    def names_of(self, path: bytes) -> "list[bytes]":
        """As they are to be opened, from the root on."""
        if not path.startswith(b"/"):
            return [*self._start, *_names(path)]
        return self._inside(path, path)

    def shown(self, names: "Sequence[bytes]") -> str:
        """The path by which it is asked for again: relative, where it lies below where relative paths begin."""
        names = tuple(names)
        if names[: len(self._start)] == self._start:
            return decoded(b"/".join(names[len(self._start) :])) or "."
        return decoded(b"/" + b"/".join(names))

    def path_of(self, names: "Sequence[bytes]") -> bytes:
        """Which ``find`` takes for these names."""
        return b"/".join([self._root.rstrip(b"/"), *names]) or b"/"

    def find(self, path: bytes) -> "Found":
        """Follow it, links and all, as long as it stays inside. Raises ``Failure`` and ``OSError``."""
        found = Found(self._root)
        try:
            todo = self.names_of(path)[::-1]
            links = 0
            while todo:
                name = todo.pop()
                if name == b"..":
                    if not found.names and self._root != b"/":
                        raise self._outside(path)
                    found.leave()
                    continue
                found.enter(name)
                if stat.S_ISLNK(found.status.st_mode):
                    links += 1
                    if links > _MOST_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                    target = os.readlink(b"", dir_fd=found.file)
                    if target.startswith(b"/"):
                        rest = self._inside(target, path)
                        found.leave_all()
                    else:
                        rest = list(_names(target))
                        found.leave()
                    todo.extend(reversed(rest))
        except BaseException:
            found.close()
            raise
        return found

    def open_directory(self, names: "Sequence[bytes]") -> int:
        """Of what ``find`` has shown to be a directory; a link that stands there by now is refused."""
        found = Found(self._root)
        try:
            for name in names:
                found.enter(name)
            return found.open_directory()
        finally:
            found.close()

    def _inside(self, absolute: bytes, path: bytes) -> "list[bytes]":
        above, names = _names(self._root), _names(absolute)
        if names[: len(above)] != above:
            raise self._outside(path)
        return list(names[len(above) :])

    def _outside(self, path: bytes) -> Failure:
        return Failure("permission", "%s leads out of the workspace" % decoded(path), errno.EACCES, decoded(path))


class Found:
    """What stands at the end of a path, and every directory on the way to it."""

    def __init__(self, root: bytes) -> None:
        self.names: "list[bytes]" = []
        self._files = [os.open(root, _LOOK)]

    def __enter__(self) -> "Found":
        return self

    def __exit__(self, *_error: "Any") -> None:
        self.close()

    @property
    def file(self) -> int:
        """For looking at it only."""
        return self._files[-1]

    @property
    def status(self) -> os.stat_result:
        return os.fstat(self.file)

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    def enter(self, name: bytes) -> None:
        if len(self.names) >= DEEPEST or sum(map(len, self.names)) + len(name) > LONGEST_PATH:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        self._files.append(os.open(name, _LOOK, dir_fd=self.file))
        self.names.append(name)

    def leave(self) -> None:
        if self.names:
            self.names.pop()
            os.close(self._files.pop())

    def leave_all(self) -> None:
        while self.names:
            self.leave()

    def open_directory(self) -> int:
        return os.open(b".", _READ | os.O_DIRECTORY, dir_fd=self.file)

    def open_file(self) -> "tuple[int, os.stat_result]":
        if not self.names:
            raise _not_a_file(self.status)
        return opened_file(self.names[-1], self._files[-2])

    def close(self) -> None:
        while self._files:
            os.close(self._files.pop())


def opened_file(name: bytes, directory: int) -> "tuple[int, os.stat_result]":
    """A regular file in an open directory, and what it is. What else stands there is not opened."""
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISREG(status.st_mode):
        raise _not_a_file(status)
    file = os.open(name, _READ, dir_fd=directory)
    status = os.fstat(file)
    if stat.S_ISREG(status.st_mode):
        return file, status
    os.close(file)
    raise _not_a_file(status)


def _not_a_file(status: os.stat_result) -> OSError:
    if stat.S_ISDIR(status.st_mode):
        return IsADirectoryError(errno.EISDIR, "a directory, not a file")
    return OSError(errno.EINVAL, "not a regular file")


def _names(path: bytes) -> "tuple[bytes, ...]":
    return tuple(name for name in path.split(b"/") if name not in (b"", b"."))


def _where_we_are() -> bytes:
    try:
        return os.getcwdb()
    except OSError:  # it was removed
        return b"/"

"""What has become of a tree: what was added to it, modified in it and removed from it since it was known.

Nothing is read that nobody has touched. Of what was touched, the content decides, never its times.
"""

import os
import stat
import time

from pytest_fargate_sandbox.server.artifacts.globs import Glob
from pytest_fargate_sandbox.server.files.archives import DEEPEST
from pytest_fargate_sandbox.server.protocol import decoded
from pytest_fargate_sandbox.server.snapshots import known_tree
from pytest_fargate_sandbox.server.snapshots.known_tree import KnownDirectory, KnownTree, Row
from pytest_fargate_sandbox.server.snapshots.saving import LONGEST_PATH
from pytest_fargate_sandbox.server.snapshots.snapshot_protocol import (
    ADDED,
    MODIFIED,
    REMOVED,
    TOUCHED,
    UNSEEN,
    Difference,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    Entries = list[tuple[bytes, os.stat_result]]
    States = list[frozenset[int]]


class Comparison:
    def __init__(self, tree: KnownTree) -> None:
        self._tree = tree
        self._globs = [Glob.of(pattern) for pattern in tree.exclude]
        self._device = 0

    def differences(self, root: bytes) -> "Iterator[Difference]":
        try:
            directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            yield from map(_removed, self._tree.below(b""))
            return
        try:
            self._device = os.fstat(directory).st_dev
            yield from self._directory(directory, b"", [glob.begin for glob in self._globs])
        finally:
            os.close(directory)

    def _directory(self, directory: int, path: bytes, states: "States") -> "Iterator[Difference]":
        now, known = time.time(), self._tree.directories.get(path)
        entries = self._entries(directory, states)
        if known is None:
            yield from (Difference(how=ADDED, path=decoded(os.path.join(path, name))) for name, _ in entries)
        elif known.names != b"/".join([name for name, _ in entries]):
            yield from self._among(directory, path, known, entries)
        else:
            signed = known_tree.signatures(entries)
            if known.signatures != signed:
                is_same = True
                for difference in self._among(directory, path, known, entries):
                    is_same = False
                    yield difference
                if is_same and known_tree.are_old(entries, now):
                    known.signatures = signed
        for name, status in entries:
            if stat.S_ISDIR(status.st_mode):
                yield from self._below(directory, name, os.path.join(path, name), states)

    def _entries(self, directory: int, states: "States") -> "Entries":
        """Without what is excluded, and other file systems."""
        found = known_tree.listed(directory)
        if self._globs:
            found = [entry for entry in found if not self._is_excluded(entry[0], states)]
        device = self._device
        return [each for each in found if each[1].st_dev == device or not stat.S_ISDIR(each[1].st_mode)]

    def _is_excluded(self, name: bytes, states: "States") -> bool:
        text = decoded(name)
        return any(glob.is_whole(glob.step(state, text)) for glob, state in zip(self._globs, states))

    def _among(self, directory: int, path: bytes, known: KnownDirectory, entries: "Entries") -> "Iterator[Difference]":
        before = {name: (facts, signed) for name, facts, signed in known.rows()}
        for name, status in entries:
            full = os.path.join(path, name)
            facts, signed = before.pop(name, (b"", b""))
            if not facts:
                yield Difference(how=ADDED, path=decoded(full))
            elif known_tree.signature(status) != signed:
                was = Row(facts)
                yield from self._touched(directory, name, full, status, was)
                if was.is_directory and not stat.S_ISDIR(status.st_mode):
                    yield from map(_removed, self._tree.below(full))
        for name, (facts, _) in before.items():
            full = os.path.join(path, name)
            yield _removed(full)
            if Row(facts).is_directory:
                yield from map(_removed, self._tree.below(full))

    def _touched(
        self, directory: int, name: bytes, path: bytes, status: os.stat_result, was: Row
    ) -> "Iterator[Difference]":
        """Unless it is what it was all the same."""
        is_now = Row(self._tree.facts(status, was.content))
        if (is_now.mode, is_now.uid, is_now.gid, is_now.size) != (was.mode, was.uid, was.gid, was.size):
            yield Difference(how=MODIFIED, path=decoded(path))
            return
        try:
            content = _content(directory, name, status, was)
        except FileNotFoundError:
            yield _removed(path)
            return
        except OSError as error:
            yield Difference(how=UNSEEN, path=decoded(path), why=error.strerror or str(error))
            return
        if was.at is not None:
            yield Difference(how=TOUCHED, path=decoded(path), at=was.at, size=was.size, sha256=content.hex())
        elif content != was.content:
            yield Difference(how=MODIFIED, path=decoded(path))

    def _below(self, directory: int, name: bytes, path: bytes, states: "States") -> "Iterator[Difference]":
        if len(path) > LONGEST_PATH or path.count(b"/") + 2 > DEEPEST:
            yield Difference(how=UNSEEN, path=decoded(path), why="lies too deep")
            return
        after = [glob.step(state, decoded(name)) for glob, state in zip(self._globs, states)]
        try:
            file = os.open(name, known_tree.DIRECTORY, dir_fd=directory)
        except FileNotFoundError:  # it went away meanwhile
            known = self._tree.directories.get(os.path.dirname(path))
            if known is not None and name in known.names.split(b"/"):
                yield _removed(path)
                yield from map(_removed, self._tree.below(path))
            return
        except OSError as error:
            yield Difference(how=UNSEEN, path=decoded(path), why=error.strerror or str(error))
            return
        try:
            yield from self._directory(file, path, after)
        finally:
            os.close(file)


def _removed(path: bytes) -> Difference:
    return Difference(how=REMOVED, path=decoded(path))


def _content(directory: int, name: bytes, status: os.stat_result, was: Row) -> bytes:
    """As it is known of what it was."""
    if stat.S_ISLNK(status.st_mode):
        return known_tree.content_of_link(os.readlink(name, dir_fd=directory))
    if not stat.S_ISREG(status.st_mode) or was.content == known_tree.UNKNOWN_CONTENT:
        return known_tree.NO_CONTENT
    file = os.open(name, known_tree.FILE, dir_fd=directory)
    try:
        return known_tree.content_of_file(file, was.size)
    finally:
        os.close(file)

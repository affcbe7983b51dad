"""The files that fit some globs, with what is in them, as far as bounds allow."""

from pytest_fargate_sandbox.server.artifacts import artifact_frames as frames
from pytest_fargate_sandbox.server.artifacts.artifact_protocol import CollectArtifacts
from pytest_fargate_sandbox.server.artifacts.confines import Confines
from pytest_fargate_sandbox.server.artifacts.globs import Glob, split
from pytest_fargate_sandbox.server.artifacts.met_files import Met, MetFiles
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import FRAME_HEAD_SIZE, encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator


class Collection:
    def __init__(self, request: CollectArtifacts) -> None:
        self._confines = Confines(request.root)
        self._globs = request.globs
        self._each = request.each_bytes
        self._bytes_left = request.most_bytes
        self._entries_left = request.most_entries
        self._taken: "set[tuple[bytes, ...]]" = set()
        self._has_more = False

    def all(self) -> "Iterator[bytes]":
        unmatched = []
        # What is named in full is not to be crowded out by what a glob happens to find.
        for glob in sorted(self._globs, key=lambda each: bool(split(encoded(each))[1])):
            if self._has_more:
                break
            has_matched = False
            for frame in self._of(glob):
                has_matched = True
                yield frame
            if not has_matched:
                unmatched.append(glob)
        yield frames.facts(last=True, more=self._has_more, unmatched=unmatched)

    def _of(self, glob: str) -> "Iterator[bytes]":
        base, parts = split(encoded(glob))
        files = MetFiles(self._confines, base, Glob(*parts) if parts else None, self._entries_left)
        try:
            for met in files:
                yield from self._one(met)
                if self._has_more:
                    return
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, Failure) as error:
            yield frames.trouble(glob, error)
        self._has_more = files.has_more

    def _one(self, met: Met) -> "Iterator[bytes]":
        path = self._confines.shown(met.names)
        self._entries_left = max(0, self._entries_left - 1)
        if met.error:
            yield frames.trouble(path, met.error)
        elif met.file is not None and met.status is not None:
            if met.names in self._taken:
                yield frames.facts()  # it fits this glob as well
                return
            if not self._bytes_left and met.status.st_size:
                self._has_more = True
                return
            self._taken.add(met.names)
            yield frames.described(path, met.status)
            yield from self._content(path, met.file)

    def _content(self, path: str, file: int) -> "Iterator[bytes]":
        try:
            for frame in frames.content(file, min(self._each, self._bytes_left)):
                if frame.startswith(b"d"):
                    self._bytes_left -= len(frame) - FRAME_HEAD_SIZE
                yield frame
        except OSError as error:
            yield frames.trouble(path, error)

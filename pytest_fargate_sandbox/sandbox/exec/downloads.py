"""A file or a tree on its way from the sandbox to here. Neither its size nor what it holds is taken on trust."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING, Protocol, TypeVar

from pytest_fargate_sandbox.leaves import progress_bar
from pytest_fargate_sandbox.leaves.errors import SandboxError, TransportError
from pytest_fargate_sandbox.sandbox.exec.exec_calls import parsed
from pytest_fargate_sandbox.sandbox.exec.long_answer import LongAnswer
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files import archives, file_protocol, single_files
from pytest_fargate_sandbox.server.requests.http1 import BLOCK, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.exec.exec_calls import Answer, ExecCalls
    from pytest_fargate_sandbox.sandbox.exec.limits import Limits

T = TypeVar("T")

_LOOK_EVERY_BYTES = 16 * 1024 * 1024


class Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class CheckedDigest(Digest, Protocol):
    def check(self) -> None:
        """Whether what came is what it should be. Raises ``Malformed``."""


class Download:
    def __init__(
        self, calls: ExecCalls, remote_path: str, tries: int, *, max_bytes: int | None = None, **fields: object
    ) -> None:
        """``fields`` are what else is to be said in the request; ``max_bytes`` is for what goes to the disk."""
        self._calls = calls
        self._remote_path = remote_path
        self._tries = tries
        self._max_bytes = max_bytes
        self._fields = fields
        self._goes_on = True

    def read_file(self, max_bytes: int | None = None) -> bytes:
        """The content of a file, in memory."""
        return self._to_end(lambda: self._read_file(max_bytes))

    def save_file(self, target: Path) -> None:
        self._to_end(lambda: self._save_file(target))

    def save_tree(self, target: Path) -> None:
        self._to_end(lambda: self._save_tree(target))

    def save_answer(
        self, request: type[file_protocol.ReadTree], target: Path, digest: Callable[[], CheckedDigest]
    ) -> None:
        """What comes, as it comes, if its digest finds it right."""
        self._to_end(lambda: self._save_answer(request, target, digest()))

    def _to_end(self, act: Callable[[], T]) -> T:
        """Where connections break, it goes on in the middle; once more from the beginning if that was another thing."""
        try:
            return self._calls.persistently(act, tries=1)
        except TransportError as error:
            if error.context.get("kind") != "checksum":
                raise
        self._goes_on = False
        return self._calls.persistently(act, self._tries)

    def _open(self, request: type[file_protocol.ReadFile | file_protocol.ReadTree]) -> LongAnswer:
        tries = self._tries if self._goes_on else 1
        return LongAnswer(self._calls, lambda skip: request(path=self._remote_path, skip=skip, **self._fields), tries)

    def _read_file(self, max_bytes: int | None) -> bytes:
        with self._open(file_protocol.ReadFile) as answer:
            line, _ = _head_of(answer)
            most = self._calls.limits.memory_bytes if max_bytes is None else max_bytes
            try:
                content = answer.payload.read_all(most)
            except Malformed as reason:
                if reason.kind == "too_large" and max_bytes is not None:
                    sentence = f"{self._remote_path} has more than {max_bytes} bytes (max_bytes)"
                    raise Failure("too_large", sentence, path=self._remote_path) from None
                if reason.kind == "too_large":
                    advice = f"more than {most} bytes come, too many for memory: download it to a file"
                    raise Malformed(advice, reason.kind) from reason
                raise
            _check(answer, hashlib.sha256(line + content).hexdigest())
            return content

    def _save_file(self, target: Path) -> None:
        with self._open(file_protocol.ReadFile) as answer:
            line, head = _head_of(answer)
            incoming = self._incoming(answer, target)
            incoming.digest.update(line)
            single_files.put(os.fspath(target), incoming.blocks(), head.mode & 0o777, head.mtime_ns)

    def _save_answer(self, request: type[file_protocol.ReadTree], target: Path, digest: CheckedDigest) -> None:
        with self._open(request) as answer:
            incoming = self._incoming(answer, target)
            incoming.digest = digest

            def blocks() -> Iterator[bytes]:
                yield from incoming.blocks()
                digest.check()

            single_files.put(os.fspath(target), blocks(), 0o600, None)

    def _save_tree(self, target: Path) -> None:
        limits = self._calls.limits
        with self._open(file_protocol.ReadTree) as answer:
            incoming = self._incoming(answer, target)

            def read(count: int) -> bytes:
                block = incoming.read(count)
                if not block:
                    answer.check_whole()  # else the short archive would get the blame
                return block

            try:
                archives.unpack(read, os.fsencode(target), incoming.check, limits.members)
            except Failure as failure:
                if answer.has_failed or failure.kind != "unsafe_archive":
                    raise
                if answer.was_resumed:
                    raise _changed() from None
                # What was wrong with it, an honest server would have found first.
                sentence = f"the sandbox misbehaves, the answer to read-tree {self._remote_path} is no tree: "
                raise Failure(failure.kind, sentence + failure.message, path=failure.path) from None

    def _incoming(self, answer: LongAnswer, target: Path) -> _Incoming:
        return _Incoming(answer, target, self._calls.limits, self._check_size)

    def _check_size(self, size: int) -> None:
        if self._max_bytes is not None and size > self._max_bytes:
            sentence = f"{self._remote_path} has more than {self._max_bytes} bytes (max_bytes)"
            raise Failure("too_large", sentence, path=self._remote_path)


class _Incoming:
    """What comes for the disk here, counted and digested."""

    def __init__(self, answer: LongAnswer, target: Path, limits: Limits, check_size: Callable[[int], None]) -> None:
        self._answer = answer
        self._limits = limits
        self._check_size = check_size
        self._place = next(place for place in (target.absolute(), *target.absolute().parents) if place.is_dir())
        self._size = 0
        self._look_at = 0
        self.digest: Digest = hashlib.sha256()

    def read(self, most: int) -> bytes:
        return self._counted(self._answer.payload.read(most))

    def blocks(self) -> Iterator[bytes]:
        """All of it; at the end it is checked."""
        yield from iter(lambda: self._counted(self._answer.payload.read_block(BLOCK)), b"")
        self.check()

    def check(self) -> None:
        _check(self._answer, self.digest.hexdigest())

    def _counted(self, data: bytes) -> bytes:
        self._size += len(data)
        progress_bar.moved(len(data))
        self._check_size(self._size)
        if self._size > self._limits.disk_bytes:
            raise Malformed(f"more than {self._limits.disk_bytes} bytes come, and no end of them")
        if self._size >= self._look_at:
            self._look_at = self._size + _LOOK_EVERY_BYTES
            if shutil.disk_usage(self._place).free < self._limits.disk_reserve_bytes:
                raise SandboxError(f"what comes would take the last of the disk here, at {self._place}")
        self.digest.update(data)
        return data


def _check(answer: LongAnswer, digest: str) -> None:
    try:
        answer.check_digest(digest)
    except Malformed:
        if answer.was_resumed:
            raise _changed() from None
        raise


def _changed() -> Failure:
    return Failure("checksum", "it changed in the sandbox while it was being read, over more than one connection")


def _head_of(answer: Answer) -> tuple[bytes, file_protocol.FileHead]:
    line = answer.payload.read_line(file_protocol.FileHead.LONGEST)
    head = parsed(file_protocol.FileHead, line)
    assert isinstance(head, file_protocol.FileHead)
    if not 0 <= head.mode <= 0o7777 or abs(head.mtime_ns) > file_protocol.LATEST * 10**9:
        raise Malformed(f"a file with the mode {head.mode!r:.80} and the time {head.mtime_ns!r:.80}")
    return line + b"\n", head

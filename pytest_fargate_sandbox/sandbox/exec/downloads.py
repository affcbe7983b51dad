"""A file or a tree on its way from the sandbox to here. Neither its size nor what it holds is taken on trust."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.sandbox.exec.exec_calls import parsed
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files import archives, single_files
from pytest_fargate_sandbox.server.requests.http1 import BLOCK, Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.exec.exec_calls import Answer, ExecCalls
    from pytest_fargate_sandbox.sandbox.exec.limits import Limits

_LOOK_EVERY_BYTES = 16 * 1024 * 1024


class Download:
    """Each of its methods is one attempt."""

    def __init__(self, calls: ExecCalls, remote_path: str) -> None:
        self._calls = calls
        self._remote_path = remote_path

    def read_file(self) -> bytes:
        """The content of a file, in memory."""
        with self._calls.open(protocol.ReadFile(path=self._remote_path)) as answer:
            line, _ = _head_of(answer)
            most = self._calls.limits.memory_bytes
            try:
                content = answer.payload.read_all(most)
            except Malformed as reason:
                if reason.kind == "too_large":
                    advice = f"more than {most} bytes come, too many for memory: download it to a file"
                    raise Malformed(advice, reason.kind) from reason
                raise
            answer.check_digest(hashlib.sha256(line + content).hexdigest())
            return content

    def save_file(self, target: Path) -> None:
        with self._calls.open(protocol.ReadFile(path=self._remote_path)) as answer:
            line, head = _head_of(answer)
            incoming = _Incoming(answer, target, self._calls.limits)
            incoming.digest.update(line)

            def blocks() -> Iterator[bytes]:
                yield from iter(lambda: incoming.read_block(BLOCK), b"")
                incoming.check()

            single_files.put(os.fspath(target), blocks(), head.mode & 0o777, head.mtime_ns)

    def save_tree(self, target: Path) -> None:
        limits = self._calls.limits
        with self._calls.open(protocol.ReadTree(path=self._remote_path)) as answer:
            incoming = _Incoming(answer, target, limits)

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
                # What was wrong with it, an honest server would have found first.
                sentence = f"the sandbox misbehaves, the answer to read-tree {self._remote_path} is no tree: "
                raise Failure(failure.kind, sentence + failure.message, path=failure.path) from None


class _Incoming:
    """What comes for the disk here, counted and digested."""

    def __init__(self, answer: Answer, target: Path, limits: Limits) -> None:
        self._answer = answer
        self._limits = limits
        self._place = next(place for place in (target.absolute(), *target.absolute().parents) if place.is_dir())
        self._size = 0
        self._look_at = 0
        self.digest = hashlib.sha256()

    def read(self, most: int) -> bytes:
        return self._counted(self._answer.payload.read(most))

    def read_block(self, size: int) -> bytes:
        return self._counted(self._answer.payload.read_block(size))

    def check(self) -> None:
        self._answer.check_digest(self.digest.hexdigest())

    def _counted(self, data: bytes) -> bytes:
        self._size += len(data)
        if self._size > self._limits.disk_bytes:
            raise Malformed(f"more than {self._limits.disk_bytes} bytes come, and no end of them")
        if self._size >= self._look_at:
            self._look_at = self._size + _LOOK_EVERY_BYTES
            if shutil.disk_usage(self._place).free < self._limits.disk_reserve_bytes:
                raise Malformed(f"it would take the last of the disk here, at {self._place}")
        self.digest.update(data)
        return data


def _head_of(answer: Answer) -> tuple[bytes, protocol.FileHead]:
    line = answer.payload.read_line(protocol.FileHead.LONGEST)
    head = parsed(protocol.FileHead, line)
    assert isinstance(head, protocol.FileHead)
    if not 0 <= head.mode <= 0o7777 or abs(head.mtime_ns) > protocol.LATEST * 10**9:
        raise Malformed(f"a file with the mode {head.mode!r:.80} and the time {head.mtime_ns!r:.80}")
    return line + b"\n", head

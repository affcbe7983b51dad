"""Saving a tree of the sandbox, and loading one, by a server that may have to learn how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.sandbox.exec.downloads import Download
from pytest_fargate_sandbox.sandbox.exec.uploads import Upload
from pytest_fargate_sandbox.server.files import file_protocol
from pytest_fargate_sandbox.server.requests.http1 import BLOCK
from pytest_fargate_sandbox.server.snapshots.snapshot_protocol import LoadSnapshot, SaveSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.exec.exec_calls import ExecCalls

_LESSON = "snapshots.snapshot_verbs"
_TRIES = 4


class SnapshotCalls:
    def __init__(self, calls: ExecCalls) -> None:
        self._calls = calls

    def save(self, request: SaveSnapshot, target: Path) -> None:
        self._calls.teach(_LESSON)
        Download(self._calls, request.path, _TRIES, exclude=request.exclude).save_answer(SaveSnapshot, target)

    def load(self, source: Path, remote_dir: str) -> None:
        def blocks() -> Iterator[bytes]:
            with source.open("rb", buffering=0) as file:
                yield from iter(lambda: file.read(BLOCK), b"")

        self._calls.teach(_LESSON)
        request = LoadSnapshot(id=file_protocol.new_upload_id(), path=remote_dir)
        Upload(self._calls, request, blocks).to_end(_TRIES)

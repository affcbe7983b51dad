"""The frames that an answer about artifacts is made of."""

import os

from pytest_fargate_sandbox.server.artifacts.artifact_protocol import DATA, FACTS, Piece
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files.file_protocol import LATEST
from pytest_fargate_sandbox.server.protocol import frame_head
from pytest_fargate_sandbox.server.requests.http1 import BLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator


def data(content: bytes) -> bytes:
    return frame_head(DATA, len(content)) + content


def facts(**values: "Any") -> bytes:
    line = Piece(**values).to_json()
    return frame_head(FACTS, len(line)) + line


def described(path: str, status: os.stat_result, is_dir: bool = False) -> bytes:
    mtime = max(-LATEST, min(LATEST, status.st_mtime))
    return facts(path=path, is_dir=is_dir, size=0 if is_dir else status.st_size, mtime=mtime)


def trouble(path: str, error: "OSError | Failure") -> bytes:
    why = error.message if isinstance(error, Failure) else error.strerror or str(error)
    return facts(path=path, why=why)


def content(file: int, most: int) -> "Iterator[bytes]":
    """A file's bytes, and whether there are more: its size is not asked, since it may grow, or have none (/proc)."""
    left = most
    while left:
        block = os.read(file, min(left, BLOCK))
        if not block:
            return
        left -= len(block)
        yield data(block)
    if os.read(file, 1):
        yield facts(more=True)

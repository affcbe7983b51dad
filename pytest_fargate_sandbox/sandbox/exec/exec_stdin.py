"""What a command gets to read: nothing, bytes, text, or a file that is streamed to it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.exec.stdin_writer import LARGE_PIECE, StdinWriter

if TYPE_CHECKING:
    from collections.abc import Callable

_INLINE = 256 * 1024
"""Up to here it travels inside the request, and costs nothing extra."""


class Stdin:
    def __init__(self, source: bytes | str | os.PathLike[str] | IO[bytes] | None) -> None:
        content = source.encode("utf-8") if isinstance(source, str) else source
        if content is None:
            content = b""
        self._source = content
        self.inline = bytes(content) if isinstance(content, (bytes, bytearray)) and len(content) <= _INLINE else None

    def write_to(self, writer: StdinWriter) -> None:
        source = self._source
        if isinstance(source, (bytes, bytearray)):
            writer.write(source, end=True)
        elif isinstance(source, os.PathLike):
            with Path(source).open("rb") as file:
                _copy(file, writer)
        else:
            _copy(source, writer)


def _copy(file: IO[bytes], writer: StdinWriter) -> None:
    while block := file.read(LARGE_PIECE):
        if not isinstance(block, (bytes, bytearray)):
            raise ValueError(f"stdin gives {type(block).__name__}: expected a file that is open for bytes (mode 'rb')")
        writer.write(block)
    writer.write(b"", end=True)


class StdinFeeder(threading.Thread):
    """Sends while somebody else reads what the command says; ``on_error`` is called if not all of it could be sent."""

    def __init__(self, stdin: Stdin, writer: StdinWriter, on_error: Callable[[], None]) -> None:
        super().__init__(name="exec-stdin", daemon=True)
        self._stdin = stdin
        self._writer = writer
        self._on_error = on_error
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._stdin.write_to(self._writer)
        except Exception as error:
            if isinstance(error, SandboxError) and error.context.get("kind") == "closed":
                return  # A command need not read it all.
            self.error = error
            self._on_error()

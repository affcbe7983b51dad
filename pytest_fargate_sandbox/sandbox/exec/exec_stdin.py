"""What a command gets to read: nothing, bytes, text, or a file that is streamed to it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pytest_fargate_sandbox.server.requests.http1 import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator

_INLINE = 256 * 1024
"""Up to here it travels inside the request, and costs nothing extra."""


class Stdin:
    def __init__(self, source: bytes | str | os.PathLike[str] | IO[bytes] | None) -> None:
        content = source.encode("utf-8") if isinstance(source, str) else source
        if content is None:
            content = b""
        self._source = content
        self.inline = bytes(content) if isinstance(content, (bytes, bytearray)) and len(content) <= _INLINE else None

    @property
    def can_be_sent_again(self) -> bool:
        """Else a broken connection is the end of the command: the server kills it, for half an input is no input."""
        return self.inline is not None

    def blocks(self) -> Iterator[bytes]:
        source = self._source
        if isinstance(source, (bytes, bytearray)):
            for start in range(0, len(source), BLOCK):
                yield bytes(source[start : start + BLOCK])
        elif isinstance(source, os.PathLike):
            with Path(source).open("rb") as file:
                yield from iter(lambda: file.read(BLOCK), b"")
        else:
            yield from iter(lambda: source.read(BLOCK), b"")

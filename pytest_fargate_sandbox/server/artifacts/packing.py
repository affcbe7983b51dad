"""A compressed tar whose size has a bound: what is beyond it is counted, and not given."""

import os
import tarfile
import zlib

from pytest_fargate_sandbox.server.files.file_protocol import LATEST
from pytest_fargate_sandbox.server.protocol import decoded
from pytest_fargate_sandbox.server.requests.http1 import BLOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator, Sequence

_PERMISSIONS = 0o777
_GZIP = 31
"""https://docs.python.org/3/library/zlib.html#zlib.compressobj: wbits"""

MOST_TIMES = 50
"""So many times what the archive may have may be packed to find out how large it is."""


class Packer:
    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._compressor = zlib.compressobj(6, zlib.DEFLATED, _GZIP)
        self._content = 0
        self._size = 0
        self.count = 0

    @property
    def has_room(self) -> bool:
        return self._content <= MOST_TIMES * self._most

    @property
    def told_size(self) -> int:
        """Of the archive; where there is far too much for it, of that."""
        return self._size if self.has_room else self._content

    def add(self, names: "Sequence[bytes]", status: os.stat_result, file: "int | None") -> "Iterator[bytes]":
        """A file with what is in it, or a directory."""
        info = tarfile.TarInfo(decoded(b"/".join(names)))
        info.mode = status.st_mode & _PERMISSIONS
        info.mtime = int(max(0, min(LATEST, status.st_mtime)))
        if file is None:
            info.type = tarfile.DIRTYPE
        else:
            info.size = status.st_size
        self.count += 1
        self._content += info.size
        yield from self._packed(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        if file is not None and self.has_room:
            yield from self._file(file, info.size)

    def _file(self, file: int, size: int) -> "Iterator[bytes]":
        """As much as the header has promised, though the file may change."""
        left = size
        while left:
            data = os.read(file, min(left, BLOCK)) or bytes(min(left, BLOCK))
            left -= len(data)
            yield from self._packed(data)
        yield from self._packed(bytes(-size % tarfile.BLOCKSIZE))

    def end(self) -> "Iterator[bytes]":
        yield from self._packed(bytes(2 * tarfile.BLOCKSIZE))
        yield from self._given(self._compressor.flush())

    def _packed(self, data: bytes) -> "Iterator[bytes]":
        yield from self._given(self._compressor.compress(data))

    def _given(self, packed: bytes) -> "Iterator[bytes]":
        rest = max(0, self._most - self._size)
        self._size += len(packed)
        if packed[:rest]:
            yield packed[:rest]

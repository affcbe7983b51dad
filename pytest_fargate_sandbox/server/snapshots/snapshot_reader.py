"""The members of a snapshot whose writer is not trusted, and whether it is one, all of it and unchanged."""

import hashlib
import tarfile

from pytest_fargate_sandbox.server.files.tar_reader import TarReader, no_archive, parsed_records, unsafe
from pytest_fargate_sandbox.server.snapshots.snapshot_format import FACTS, MOST_SEGMENTS, Facts, parsed_facts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Mapping

    Segments = list[tuple[int, int]]

_BLOCK = tarfile.BLOCKSIZE
_LARGEST = 1 << 62
_SPARSE = "GNU.sparse."
_LONGEST_MAP = (2 * MOST_SEGMENTS + 5) * 20


class SnapshotReader(TarReader):
    def __init__(self, read: "Callable[[int], bytes]") -> None:
        self._digest = hashlib.sha256()
        self._latest = b""
        self._is_whole = False
        self._source = read
        self.facts = Facts()
        self.sha256 = ""
        """Of all of it, at its end."""
        self.position = 0
        TarReader.__init__(self, self._hashing)

    def _hashing(self, count: int) -> bytes:
        """The last block is not digested yet: it may be the header of the end."""
        data = self._source(count)
        self.position += len(data)
        seen = self._latest + data
        cut = max(0, len(seen) - _BLOCK)
        self._digest.update(memoryview(seen)[:cut])
        self._latest = seen[cut:]
        return data

    def _description(self, info: tarfile.TarInfo) -> bytes:
        if info.type != tarfile.XGLTYPE or self._is_whole:
            return TarReader._description(self, info)
        digest = self._digest.copy()
        data = TarReader._description(self, info)
        try:
            told, facts, line = parsed_facts(parsed_records(data)[FACTS])
        except (ValueError, TypeError, KeyError, RecursionError):
            raise no_archive("it has no end of a snapshot") from None
        digest.update(line)
        written = tarfile.TarInfo.create_pax_global_header({FACTS: parsed_records(data)[FACTS]})
        if self._latest != written[-_BLOCK:] or digest.hexdigest() != told:
            raise no_archive("it was changed since it was saved")
        self._is_whole, self.facts, self.sha256 = True, facts, told
        return data

    def _change(self, info: tarfile.TarInfo, changes: "dict[str, str]") -> None:
        if self._is_whole:
            raise no_archive("members stand behind its end")
        TarReader._change(self, info, {key: value for key, value in changes.items() if not key.startswith(_SPARSE)})
        try:
            info.uid, info.gid = int(changes.get("uid", info.uid)), int(changes.get("gid", info.gid))
        except ValueError:
            raise unsafe(info.name, "belongs to nobody") from None
        if not 0 <= info.uid < (1 << 32) - 1 or not 0 <= info.gid < (1 << 32) - 1:
            raise unsafe(info.name, "belongs to nobody")
        info.pax_headers = changes

    def _end(self) -> None:
        rest = b""
        for data in iter(lambda: self._source(_BLOCK), b""):
            rest += data
            if len(rest) > _BLOCK:
                break
        if not self._is_whole or rest != bytes(_BLOCK):
            raise no_archive("it has no end of a snapshot")

    def is_dense(self, info: tarfile.TarInfo) -> bool:
        """Whether its content is all of the file."""
        return not any(key.startswith(_SPARSE) for key in info.pax_headers)

    def size_of(self, info: tarfile.TarInfo) -> int:
        """How long the file is, holes and all."""
        return info.size if self.is_dense(info) else _realsize(info.pax_headers)

    def segments(self, info: tarfile.TarInfo) -> "tuple[Segments, int]":
        """Where the content of a member goes that can be read from here on, and how long the file is."""
        about = {key[len(_SPARSE) :]: value for key, value in info.pax_headers.items() if key.startswith(_SPARSE)}
        if not about:
            return [(0, info.size)], info.size
        try:
            if (about["major"], about["minor"]) != ("1", "0"):
                raise ValueError("another format")
            size = _realsize(info.pax_headers)
            segments = self._segments()
        except (KeyError, ValueError):
            raise unsafe(info.name, "has holes that cannot be") from None
        ends = [0] + [begin + length for begin, length in segments]
        in_order = all(begin >= end and length >= 0 for end, (begin, length) in zip(ends, segments))
        if not in_order or not ends[-1] <= size < _LARGEST or sum(each[1] for each in segments) != self._content:
            raise unsafe(info.name, "has holes that cannot be")
        return segments, size

    def _segments(self) -> "Segments":
        told = self._map_block()
        while told.count(b"\n") < 1 + 2 * min(MOST_SEGMENTS + 2, int(told[:20].partition(b"\n")[0])):
            if len(told) > _LONGEST_MAP:
                raise ValueError("too long a map")
            told += self._map_block()
        count, *numbers = [int(number) for number in told.rstrip(b"\0").split(b"\n")[:-1]]
        if not 0 <= count <= MOST_SEGMENTS + 2 or len(numbers) != 2 * count:
            raise ValueError("no map")
        return list(zip(numbers[::2], numbers[1::2]))

    def _map_block(self) -> bytes:
        block = b""
        while len(block) < _BLOCK:
            data = self.content(_BLOCK - len(block))
            if not data:
                raise ValueError("no map")
            block += data
        return block


def _realsize(headers: "Mapping[str, str]") -> int:
    return int(headers[_SPARSE + "realsize"])

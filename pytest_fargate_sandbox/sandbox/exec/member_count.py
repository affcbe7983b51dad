"""How many members a snapshot has so far, by its headers alone: its end need not come, nor be true.

What our own writer never writes is refused: where readers of tars differ, one would find more members than another.
"""

from __future__ import annotations

import re
import tarfile
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.files.tar_reader import LONGEST_DESCRIPTION, parsed_records
from pytest_fargate_sandbox.server.requests.http1 import Malformed

if TYPE_CHECKING:
    from collections.abc import Generator

_BLOCK = tarfile.BLOCKSIZE
_WITHOUT_CONTENT = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE)
_SIZE = re.compile(rb"[0-7]{11}\0")
_TOO_LARGE_FOR_IT = 8**11
"""Such a size is told in front of the header, which has 0 then."""


class MemberCount:
    def __init__(self, path: str, most: int) -> None:
        """``path`` is whose members they are, for who is told that there are more."""
        self.members = 0
        self._path = path
        self._most = most
        self._kept = bytearray()
        self._reading = self._read()
        self._wanted = next(self._reading)

    def update(self, data: bytes) -> None:
        """Raises a ``Failure`` of the kind ``too_large``, or ``Malformed``."""
        at = 0
        while at < len(data):
            step = min(abs(self._wanted), len(data) - at)
            if self._wanted > 0:
                self._kept += data[at : at + step]
            self._wanted += step if self._wanted < 0 else -step
            at += step
            if not self._wanted:
                kept, self._kept = bytes(self._kept), bytearray()
                self._wanted = self._reading.send(kept)

    def _read(self) -> Generator[int, bytes, None]:
        """Is sent as many bytes as it yields; where that is below zero, so many are passed over."""
        head = yield _BLOCK
        while head.strip(b"\0"):
            kind, size = _parsed(head)
            if kind == tarfile.XGLTYPE:  # with which a snapshot ends
                yield -_whole(size)
                head = yield _BLOCK
                break
            if kind == tarfile.XHDTYPE:
                description = yield _whole(size)
                kind, size = _parsed((yield _BLOCK))
                size = _described(description, size)
            if kind != tarfile.REGTYPE and (size or kind not in _WITHOUT_CONTENT):
                raise _none(f"a member of the kind {kind!r} and {size} bytes")
            self._count()
            yield -_whole(size)
            head = yield _BLOCK
        while not head.strip(b"\0"):
            head = yield _BLOCK
        raise _none("more stands behind its end")

    def _count(self) -> None:
        self.members += 1
        if self.members > self._most:
            sentence = f"{self._path} has more than {self._most} files and directories (max_members)"
            raise Failure("too_large", sentence, path=self._path)


def _parsed(head: bytes) -> tuple[bytes, int]:
    """https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06"""
    kind, size, checksum = head[156:157], head[124:136], head[148:156]
    if not _SIZE.fullmatch(size) or checksum != b"%06o\0 " % (sum(head) - sum(checksum) + 8 * ord(" ")):
        raise _none("a header that is none")
    if kind in (tarfile.XHDTYPE, tarfile.XGLTYPE) and int(size[:-1], 8) > LONGEST_DESCRIPTION:
        raise _none(f"a description of {int(size[:-1], 8)} bytes")
    return kind, int(size[:-1], 8)


def _described(description: bytes, size: int) -> int:
    try:
        told = parsed_records(description).get("size")
    except Failure as failure:
        raise _none(failure.message) from None
    if told is None:
        return size
    if size or not told.isdecimal() or len(told) > 19 or int(told) < _TOO_LARGE_FOR_IT:
        raise _none(f"a size of {told:.40} and {size}")
    return int(told)


def _whole(size: int) -> int:
    return size + -size % _BLOCK


def _none(why: str) -> Malformed:
    return Malformed(f"it is no snapshot: {why}")

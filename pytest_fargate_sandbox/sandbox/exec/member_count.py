"""How many members a tar stream has so far, by its headers alone: its end need not come, nor be true."""

from __future__ import annotations

import tarfile

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.requests.http1 import Malformed

_DESCRIPTIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE)
"""They have content, and are no members."""

_WITH_CONTENT = (*_DESCRIPTIONS, *tarfile.REGULAR_TYPES)


class MemberCount:
    def __init__(self, path: str, most: int) -> None:
        """``path`` is whose members they are, for who is told that there are more."""
        self._path = path
        self._most = most
        self._head = b""
        self._skip = 0
        self._members = 0

    def update(self, data: bytes) -> None:
        """Raises a ``Failure`` of the kind ``too_large``."""
        at = 0
        while at < len(data):
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            step = tarfile.BLOCKSIZE - len(self._head)
            self._head += data[at : at + step]
            at += step
            if len(self._head) == tarfile.BLOCKSIZE:
                self._count(self._head)
                self._head = b""

    def _count(self, head: bytes) -> None:
        """https://www.gnu.org/software/tar/manual/html_node/Standard.html"""
        kind = head[156:157]
        try:
            size = tarfile.nti(head[124:136]) if kind in _WITH_CONTENT else 0  # type: ignore[attr-defined]
        except tarfile.HeaderError as error:
            raise Malformed(f"it is no archive: {error}") from None
        if size < 0:
            raise Malformed("it is no archive: a size below zero")
        self._skip = size + -size % tarfile.BLOCKSIZE
        self._members += kind not in _DESCRIPTIONS
        if self._members > self._most:
            sentence = f"{self._path} has more than {self._most} files and directories (max_members)"
            raise Failure("too_large", sentence, path=self._path)

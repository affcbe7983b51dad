"""Whether what came as a snapshot is one, of the digest that it tells: it may be known by that from then on."""

from __future__ import annotations

import hashlib
import tarfile
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.server.protocol import decoded, encoded
from pytest_fargate_sandbox.server.requests.http1 import Malformed
from pytest_fargate_sandbox.server.snapshots.snapshot_format import FACTS, LONGEST_END, parsed_facts

if TYPE_CHECKING:
    from pytest_fargate_sandbox.sandbox.exec.member_count import MemberCount


class SnapshotDigest:
    """The digest of all that comes; asked at its end, what it says of itself."""

    def __init__(self, members: MemberCount | None = None) -> None:
        """``members`` counts them as they come, where there may be no more than so many."""
        self._members = members
        self._digest = hashlib.sha256()
        """Of all but the last bytes, among which its end begins."""
        self._tail = b""

    def update(self, data: bytes) -> None:
        if self._members:
            self._members.update(data)
        seen = self._tail + data
        cut = max(0, len(seen) - LONGEST_END)
        self._digest.update(memoryview(seen)[:cut])
        self._tail = seen[cut:]

    def hexdigest(self) -> str:
        return self._with(self._tail)

    def check(self) -> None:
        """Raises ``Malformed`` where it is none. Its members are looked at by whoever loads it."""
        try:
            record = decoded(self._tail.rpartition(encoded(f"{FACTS}="))[2].partition(b"\n")[0])
            told, facts, line = parsed_facts(record)
            end = tarfile.TarInfo.create_pax_global_header({FACTS: record}) + bytes(2 * tarfile.BLOCKSIZE)
        except (ValueError, TypeError, RecursionError):
            raise Malformed("it is no whole snapshot") from None
        if not self._tail.endswith(end) or self._with(self._tail[: -len(end)] + line) != told:
            raise Malformed("it is a snapshot with a digest that is not its own")
        if self._members and self._members.members != facts.members:
            raise Malformed(f"it is a snapshot of {facts.members} members, and has {self._members.members}")

    def _with(self, rest: bytes) -> str:
        digest = self._digest.copy()
        digest.update(rest)
        return digest.hexdigest()

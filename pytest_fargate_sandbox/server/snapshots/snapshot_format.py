"""A snapshot: a tar (POSIX.1-2001, holes as GNU's 1.0) that says at its end what it is the whole of.

The end is a global pax header, which any tar passes over: what was left out, and the digest of that and of all before.
"""

import json
import os
import tarfile

from pytest_fargate_sandbox.server.message import fits
from pytest_fargate_sandbox.server.protocol import decoded, encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FACTS = "FARGATE.snapshot"
XATTR = "SCHILY.xattr."
"""As GNU tar and bsdtar write them."""

USER_XATTR = "user."
"""Others are the kernel's business: ``security.capability`` would make whoever has the file more than he is."""

MOST_SEGMENTS = 4096
"""Of a file with holes; what is behind the last is one segment."""

LONGEST_EXCLUDE = 8 * 1024
_LONGEST_TOLD = 24 * 1024
LONGEST_END = 128 * 1024
_FACTS = {"members": int, "left_out": list, "more": int, "exclude": list, "machine": str}


class Facts:
    """What was left out is told as far as there is room; ``more`` is how many are not."""

    def __init__(
        self,
        members: int = 0,
        left_out: "list[str] | None" = None,
        more: int = 0,
        exclude: "list[str] | None" = None,
        machine: str = "",
    ) -> None:
        """``machine``: the architecture of where it was saved."""
        self.members = members
        self.left_out = left_out or []
        self.more = more
        self.exclude = exclude or []
        self.machine = machine or os.uname().machine
        self._room = _LONGEST_TOLD

    def tell(self, path: bytes, why: str) -> None:
        told = "%.1000s: %s" % (decoded(path), why)
        self._room -= len(json.dumps(told))
        if self._room < 0:
            self.more += 1
        else:
            self.left_out.append(told)

    def end(self, digest: "Any") -> bytes:
        """Of an archive of whose content this is the digest."""
        line = self._line()
        digest.update(line.encode("ascii"))
        return _end("%s %s" % (digest.hexdigest(), line))

    def _line(self) -> str:
        told = json.dumps({name: getattr(self, name) for name in _FACTS}, sort_keys=True)
        return told.replace("=", "\\u003d")  # so that what marks the record is found nowhere in it


def _end(record: str) -> bytes:
    return tarfile.TarInfo.create_pax_global_header({FACTS: record}) + bytes(2 * tarfile.BLOCKSIZE)


def parsed_facts(record: str) -> "tuple[str, Facts, bytes]":
    """The digest, the facts, and what of them the digest is of. Raises ``ValueError``."""
    digest, _, line = record.partition(" ")
    values = json.loads(line)
    if not isinstance(values, dict) or len(digest) != 64:
        raise ValueError("no facts")
    facts = Facts(**values)
    if not all(fits(getattr(facts, name), kind) for name, kind in _FACTS.items()) or min(facts.members, facts.more) < 0:
        raise ValueError("no facts")
    return digest, facts, line.encode("ascii")


def facts_at_end(tail: bytes) -> "tuple[str, Facts]":
    """Out of the last bytes of a snapshot. Raises ``ValueError``."""
    _, mark, rest = tail[-LONGEST_END:].rpartition(encoded(FACTS + "="))
    if not mark:
        raise ValueError("it has no end")
    record = decoded(rest.partition(b"\n")[0])
    try:
        digest, facts, _ = parsed_facts(record)
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if not tail.endswith(_end(record)):
        raise ValueError("it has more behind its end, or less")
    return digest, facts

"""Members counted while they come: never fewer than whoever unpacks it would find."""

from __future__ import annotations

import contextlib
import io
import random
import tarfile

import pytest

from pytest_fargate_sandbox.sandbox.exec.member_count import MemberCount
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.requests.http1 import Malformed

BLOCK = tarfile.BLOCKSIZE
FIVE = [(f"{number}ä" * 60, tarfile.REGTYPE, number * 300) for number in range(5)]


def _archive(members: list[tuple[str, bytes, int]], form: int = tarfile.PAX_FORMAT, **headers: str) -> bytes:
    """Content looks like members: whoever misses a size finds more of them, or fewer."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, kind, size in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.pax_headers = kind, size, dict(headers)
            archive.addfile(info, io.BytesIO((tarfile.TarInfo("inner").tobuf() * (1 + size // BLOCK))[:size]))
    return out.getvalue()


def _count(archive: bytes, most: int = 1 << 40, step: int = 5000) -> int:
    count = MemberCount("/srv", most)
    for at in range(0, len(archive), step):
        count.update(archive[at : at + step])
    return count.members


@pytest.mark.parametrize("step", [1, 100, 512, 5000])
def test_so_many_may_come_and_one_more_may_not(step: int) -> None:
    """The blocks of zeros at its end are no members."""
    assert _count(_archive(FIVE), 5, step) == 5
    with pytest.raises(Failure, match=r"/srv has more than 4 files and directories \(max_members\)"):
        _count(_archive(FIVE), 4, step)


def test_what_is_too_large_for_a_header_is_passed_over() -> None:
    info = tarfile.TarInfo("large")
    info.size = 1 << 33
    count = MemberCount("/srv", 5)
    count.update(info.tobuf(tarfile.PAX_FORMAT))
    for _ in range(1 << 5):
        count.update(bytes(1 << 28))
    count.update(tarfile.TarInfo("next").tobuf() + bytes(2 * BLOCK))
    assert count.members == 2


def _signed(archive: bytes, at: int, field: bytes) -> bytes:
    """With this in its first header, whose checksum is right again."""
    head = archive[:at] + field + archive[at + len(field) : BLOCK]
    head = head[:148] + b" " * 8 + head[156:]
    return head[:148] + b"%06o\0 " % sum(head) + head[156:] + archive[BLOCK:]


ONE = _archive([("x", tarfile.REGTYPE, 3000)])
REFUSED = {
    "a size below zero": _signed(ONE, 124, b"-0000001000\0"),
    "a size in base 256": _signed(ONE, 124, b"\x80" + bytes(10) + b"\1"),
    "a size below zero in base 256": _signed(ONE, 124, b"\xff" * 12),
    "a size with a line in it": _signed(ONE, 124, b"0000000_001\0"),
    "a size that is no number": _signed(ONE, 124, b"no number\0\0\0"),
    "another checksum": ONE[:148] + b"0000000\0" + ONE[156:],
    "a directory of some size": _signed(ONE, 156, tarfile.DIRTYPE),
    "a kind that nobody knows": _signed(ONE, 156, b"Z"),
    "GNU's long names": _archive([("x" * 200, tarfile.REGTYPE, 3000)], tarfile.GNU_FORMAT),
    "GNU's holes": _signed(ONE, 156, tarfile.GNUTYPE_SPARSE),
    "a small size before the header": _archive([("x", tarfile.REGTYPE, 3000)], size="0"),
    "a size that is none before the header": _archive([("x", tarfile.REGTYPE, 0)], size="-8589934592"),
    "a long description": _signed(_signed(ONE, 156, tarfile.XHDTYPE), 124, b"77777777777\0"),
    "members behind its end": ONE.rstrip(b"\0").ljust(8 * BLOCK, b"\0") + bytes(2 * BLOCK) + ONE,
    "members behind what ends a snapshot": tarfile.TarInfo.create_pax_global_header({"a": "b"}) + ONE,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_writer_of_ours_writes_ends_it(name: str) -> None:
    with pytest.raises(Malformed, match="it is no snapshot"):
        _count(REFUSED[name])


KINDS = [*[tarfile.REGTYPE] * 4, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.AREGTYPE, tarfile.FIFOTYPE]
SIZES = [0, 0, 1, 511, 512, 513, 3000]
FIELDS = [b"-0000001000\0", b"\xff" * 12, b"\x80" + bytes(10) + b"\1", b"00000002000\0", b" " * 12, b"+0000000777\0"]
TYPES = b"xgLKS0\x005VX1"


def _random_archive(chance: random.Random) -> bytes:
    members = []
    for number in range(chance.randrange(12)):
        name = chance.choice(["x", "ä", "a/", "b" * 99, "c/" * 80, "d" * 300])
        kind = chance.choice(KINDS)
        members.append((f"{name}{number}", kind, chance.choice(SIZES) if kind in tarfile.REGULAR_TYPES else 0))
    key = chance.choice(["size", "GNU.sparse.size", "GNU.sparse.realsize", "comment", "comment"])
    form = chance.choice([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.PAX_FORMAT])
    with contextlib.suppress(ValueError):  # too long a name for ustar
        return _archive(members, form, **{key: chance.choice(["0", "512", "junk", "-512", "8589934592"])})
    return _random_archive(chance)


def _mutated(chance: random.Random, archive: bytes) -> bytes:
    at = chance.randrange(len(archive) // BLOCK) * BLOCK
    before, rest = archive[:at], archive[at:]
    return chance.choice(
        [
            before,
            before + rest[BLOCK:],
            before + rest[:BLOCK] + rest,
            before + _signed(rest, 124, chance.choice(FIELDS)),
            before + _signed(rest, 156, bytes([chance.choice(TYPES)])),
            before + rest[: chance.randrange(BLOCK)] + bytes([chance.randrange(256)]) + rest[BLOCK:],
        ]
    )


def _found_by_tarfile(archive: bytes) -> int:
    found = 0
    with contextlib.suppress(Exception), tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
        while opened.next() is not None and found < 100:
            found += 1
    return found


@pytest.mark.parametrize("seed", range(4))
def test_no_archive_has_more_members_than_were_counted(seed: int) -> None:
    chance = random.Random(seed)
    whole = 0
    for _ in range(150):
        archive = _random_archive(chance)
        for _ in range(chance.randrange(3)):
            archive = _mutated(chance, archive)
        with contextlib.suppress(Malformed):
            assert _count(archive, step=chance.choice([7, 512, 10**6])) >= _found_by_tarfile(archive)
            whole += 1
    assert whole > 20, "some of them are as ours are"

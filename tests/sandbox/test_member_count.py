"""Members counted while they come, whatever sizes their headers tell."""

from __future__ import annotations

import io
import tarfile

import pytest

from pytest_fargate_sandbox.sandbox.exec.member_count import MemberCount
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.requests.http1 import Malformed


def _archive(members: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(members):
            info = tarfile.TarInfo(f"{number}ä" * 60)
            info.size = number * 300
            archive.addfile(info, io.BytesIO(b"0" * info.size))
    return content.getvalue().rstrip(b"\0")


def _count(archive: bytes, step: int, most: int) -> None:
    count = MemberCount("/srv", most)
    for at in range(0, len(archive), step):
        count.update(archive[at : at + step])


@pytest.mark.parametrize("step", [1, 100, 512, 5000])
def test_so_many_may_come_and_one_more_may_not(step: int) -> None:
    _count(_archive(5), step, 5)
    with pytest.raises(Failure, match=r"/srv has more than 4 files and directories \(max_members\)"):
        _count(_archive(5), step, 4)


@pytest.mark.parametrize("size", [b"\xff" * 12, b"no number\0\0\0"])
def test_a_size_that_is_none_ends_it(size: bytes) -> None:
    head = bytearray(tarfile.TarInfo("x").tobuf())
    head[124:136] = size
    with pytest.raises(Malformed, match="it is no archive"):
        MemberCount("/srv", 5).update(bytes(head))

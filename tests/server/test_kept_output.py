"""One stream of a command, kept: in memory while it is short, in a file then, and lost only at its end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.server.commands.kept_output import IN_MEMORY, KeptOutput

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = bytes(range(256)) * 64


@pytest.mark.parametrize("blocks", [0, 1, IN_MEMORY // len(BLOCK) + 1, 40])
def test_it_is_read_from_any_offset(tmp_path: Path, blocks: int) -> None:
    output = KeptOutput(os.fsencode(tmp_path / "stdout"))
    for _ in range(blocks):
        output.append(BLOCK)
    whole = BLOCK * blocks
    for offset in (0, 1, len(whole) // 2, max(0, len(whole) - 5), len(whole), len(whole) + 100):
        assert output.read(offset, 100_000) == whole[offset : offset + 100_000]
    assert (output.total, output.kept, output.lost) == (len(whole), len(whole), 0)
    assert (tmp_path / "stdout").exists() == (len(whole) > IN_MEMORY)
    output.drop()
    assert not (tmp_path / "stdout").exists()


def test_the_file_holds_the_whole_stream_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    output = KeptOutput(os.fsencode(path))
    output.append(b"first ")
    assert output.spill()
    output.append(b"second")
    assert path.read_bytes() == b"first second"
    assert path.stat().st_mode & 0o777 == 0o600
    output.is_named = True
    output.drop()
    assert path.exists()


def test_an_endless_stream_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_fargate_sandbox.server.commands.kept_output.MOST", 10 * len(BLOCK))
    output = KeptOutput(os.fsencode(tmp_path / "stdout"))
    for _ in range(100):
        output.append(BLOCK)
    assert (output.total, output.kept) == (100 * len(BLOCK), 10 * len(BLOCK))
    assert (tmp_path / "stdout").read_bytes() == BLOCK * 10


@pytest.mark.parametrize("place", [None, b"/nonexistent/stdout"])
def test_without_a_place_for_a_file_the_beginning_is_kept(place: bytes | None) -> None:
    output = KeptOutput(place)
    for _ in range(10):
        output.append(BLOCK)
    assert output.total == 10 * len(BLOCK)
    assert output.read(0, 1 << 20) == (BLOCK * 10)[: output.kept]
    assert output.kept == IN_MEMORY
    assert output.lost == 10 * len(BLOCK) - IN_MEMORY


def test_a_file_that_is_there_already_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.symlink_to(tmp_path / "somewhere-else")
    output = KeptOutput(os.fsencode(path))
    assert not output.spill()
    assert not (tmp_path / "somewhere-else").exists()

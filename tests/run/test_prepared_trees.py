"""What is prepared once is found again as long as it is whole, and one name is one preparation."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import ConfigError, SandboxError
from pytest_fargate_sandbox.run.prepared_trees import PreparedTrees
from pytest_fargate_sandbox.server.snapshots.snapshot_format import Facts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PARTS = {"prepare": "a", "its task": "b"}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return []


@pytest.fixture
def make(made: list[Path]) -> Callable[[Path], None]:
    def make(target: Path) -> None:
        made.append(target)
        content = b"a snapshot".ljust(2048)
        target.write_bytes(content + Facts().end(hashlib.sha256(content)))

    return make


@pytest.mark.parametrize("run", ["the same", "another"])
def test_it_is_found_again(made: list[Path], make: Callable[[Path], None], tmp_path: Path, run: str) -> None:
    found = PreparedTrees(tmp_path / "the same").snapshot("name", PARTS, make)
    assert PreparedTrees(tmp_path / run).snapshot("another name", PARTS, make) == found
    assert len(made) == 1
    assert made[0] != found
    assert PreparedTrees(tmp_path / run).snapshot("a third", {**PARTS, "prepare": "c"}, make) != found
    assert len(made) == 2


def test_one_that_is_not_whole_any_more_is_made_again(
    made: list[Path], make: Callable[[Path], None], tmp_path: Path
) -> None:
    found = PreparedTrees(tmp_path / "1").snapshot("name", PARTS, make)
    whole = found.read_bytes()
    for number, broken in enumerate([whole[:-1], whole.replace(b"snap", b"SNAP"), whole + b"x", b"", b"x" * 200_000]):
        found.write_bytes(broken)
        assert PreparedTrees(tmp_path / f"again {number}").snapshot("name", PARTS, make) == found
        assert found.read_bytes() == whole
    assert len(made) == 6


def test_what_nobody_wanted_for_a_month_goes(make: Callable[[Path], None], tmp_path: Path) -> None:
    old = PreparedTrees(tmp_path / "1").snapshot("name", PARTS, make)
    (old.parent / ".left by a run that was killed").touch()
    for file in old.parent.iterdir():
        os.utime(file, (1, 1))
    new = PreparedTrees(tmp_path / "2").snapshot("name", {**PARTS, "prepare": "c"}, make)
    assert {file.suffix for file in new.parent.iterdir()} == {".tar", ".lock"}
    assert not old.exists()


def test_a_failure_is_the_runs_and_leaves_nothing(
    made: list[Path], make: Callable[[Path], None], tmp_path: Path
) -> None:
    def fail(target: Path) -> None:
        make(target)
        raise SandboxError("preparing: failed")

    for _ in range(2):
        with pytest.raises(SandboxError, match="preparing: failed"):
            PreparedTrees(tmp_path / "1").snapshot("name", PARTS, fail)
    assert len(made) == 1
    assert not made[0].exists()
    assert PreparedTrees(tmp_path / "2").snapshot("name", PARTS, make).exists()


def test_two_of_one_name_are_an_error_that_says_what_differs(make: Callable[[Path], None], tmp_path: Path) -> None:
    PreparedTrees(tmp_path / "1").snapshot("name", PARTS, make)
    with pytest.raises(ConfigError, match=r"'name'\): two preparations of this name differ in its task: give each a"):
        PreparedTrees(tmp_path / "1").snapshot("name", {**PARTS, "its task": "c"}, make)
    PreparedTrees(tmp_path / "2").snapshot("name", {**PARTS, "its task": "c"}, make)

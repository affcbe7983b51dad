"""What goes away while a directory is walked through is no trouble of who walks."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.server.artifacts.confines import Confines
from pytest_fargate_sandbox.server.artifacts.met_files import MetFiles
from pytest_fargate_sandbox.server.files.archives import pack
from pytest_fargate_sandbox.server.snapshots.comparing import Comparison
from pytest_fargate_sandbox.server.snapshots.known_tree import KnownTree
from pytest_fargate_sandbox.server.snapshots.saving import Saving

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        (tmp_path / name / "empty").mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
    return tmp_path


def test_artifacts_are_what_is_left(tree: Path) -> None:
    met = {}
    for each in MetFiles(Confines(str(tree)), os.fsencode(tree), None, 100):
        met[b"/".join(each.names)] = each.error
        shutil.rmtree(tree / "b", ignore_errors=True)
    assert met == dict.fromkeys([b"a", b"a/empty", b"a/file", b"c", b"c/empty", b"c/file"])


@pytest.mark.parametrize("after", range(9))
def test_a_packed_tree_is_what_is_left_whenever_the_rest_goes(tree: Path, after: int) -> None:
    blocks = []
    for number, block in enumerate(pack(os.fsencode(tree))):
        blocks.append(block)
        if number == after:
            shutil.rmtree(tree / "b")
            (tree / "c/file").write_text("longer than it was")
    with tarfile.open(fileobj=io.BytesIO(b"".join(blocks))) as archive:
        members = {info.name: info for info in archive}
        kept = {f"{name}{below}" for name in "ac" for below in ("", "/empty", "/file")}
        assert kept <= set(members) <= kept | {"b", "b/empty", "b/file"}
        file = archive.extractfile("c/file")
        assert file
        assert file.read() in (b"c", b"longer than it was")


def test_a_file_that_gets_shorter_while_it_is_packed_has_zeros_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    packing = pack(os.fsencode(tmp_path))
    head = next(packing)
    (tmp_path / "file").write_bytes(b"xyz")
    with tarfile.open(fileobj=io.BytesIO(head + b"".join(packing))) as archive:
        file = archive.extractfile("file")
        assert file
        assert file.read() == b"xyz" + bytes(997)


def test_a_tree_that_was_never_there_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(pack(os.fsencode(tmp_path / "none")))


def test_a_known_directory_that_goes_away_is_removed_and_a_new_one_nothing(tree: Path) -> None:
    known = KnownTree([], lambda uid, gid: (uid, gid))
    assert list(Saving(str(tree), known, 0, only_known=True).blocks())
    for name in ("new", "a/new"):
        (tree / name).mkdir()
    told = []
    for difference in Comparison(known).differences(os.fsencode(tree)):
        told.append((difference.how, difference.path))
        if difference.path == "a/new":
            shutil.rmtree(tree / "b")
            shutil.rmtree(tree / "new")
    removed = [("removed", path) for path in ("b", "b/empty", "b/file")]
    assert told == [("added", "new"), ("added", "a/new"), *removed]

"""What goes away while a directory is walked through is no trouble of who walks."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.server.artifacts.confines import Confines
from pytest_fargate_sandbox.server.artifacts.met_files import MetFiles
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

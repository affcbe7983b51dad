"""Where an engine keeps its containers' files, and what it does about those of engines before it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.local.runners.namespaces.scratch import Scratch, remove_tree

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path / f"fargate-sandbox-{os.geteuid()}"


def test_it_stands_in_a_directory_that_only_its_owner_may_enter(base: Path) -> None:
    scratch = Scratch()
    assert scratch.path.parent == base
    assert base.stat().st_mode & 0o777 == 0o700
    scratch.remove()
    assert not scratch.path.exists()


def test_a_directory_that_others_may_write_to_is_not_trusted(base: Path) -> None:
    base.mkdir()
    base.chmod(0o777)
    scratch = Scratch()
    assert not scratch.path.is_relative_to(base)
    scratch.remove()


def test_a_link_that_somebody_put_there_is_not_followed(base: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    base.symlink_to(tmp_path / "elsewhere")
    scratch = Scratch()
    assert not scratch.path.is_relative_to(tmp_path)
    scratch.remove()


def test_what_a_dead_engine_left_is_swept_and_what_a_live_one_has_is_not(base: Path) -> None:
    live = Scratch()
    left = base / "engine-dead"
    (left / "tasks/one/upper/closed").mkdir(parents=True)
    (left / "tasks/one/upper/closed").chmod(0)
    Scratch().remove()
    assert not left.exists()
    assert live.path.exists()
    live.remove()


def test_a_tree_goes_whatever_the_modes_in_it(tmp_path: Path) -> None:
    inner = tmp_path / "tree/a/b"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    (tmp_path / "tree/link").symlink_to("/")
    inner.chmod(0)
    inner.parent.chmod(0)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()

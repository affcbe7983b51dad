"""Where an engine keeps its containers' files, and what it does about those of engines before it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.local.runners.namespaces.scratch import Scratch
from pytest_fargate_sandbox.local.runners.namespaces.tree_removal import remove_tree
from tests.warm_engine import PROGRAM, Popen

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


@pytest.mark.root
def test_a_disk_that_is_full_is_named_by_the_engine_that_does_not_start_for_it(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], check=True)
    try:
        with (tmp_path / "full").open("wb") as file, suppress(OSError):
            file.write(bytes(100_000))
        engine = Popen[str](PROGRAM, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)})
        told = engine.communicate(timeout=60)[1]
    finally:
        subprocess.run(["umount", "--lazy", tmp_path], check=True)
    assert engine.returncode == 1
    assert f"no space is left in {tmp_path}/fargate-sandbox-0, where the engine keeps containers' files" in told


def _squat(base: Path, how: str) -> None:
    if how == "file":
        base.touch()
    elif how == "link":
        (base.parent / "elsewhere").mkdir(mode=0o700)
        base.symlink_to(base.parent / "elsewhere")
    elif how == "dangling link":
        base.symlink_to(base.parent / "nowhere")
    else:
        base.mkdir()
        base.chmod(0o700 if how == "another's" else 0o777)
        if how == "another's":
            os.chown(base, 20042, 20042)


def _what_is_there(base: Path) -> object:
    """But for when it was read."""
    told = base.lstat()
    return told.st_ino, told.st_mode, told.st_uid, told.st_ctime_ns, sorted(base.parent.rglob("*"))


@pytest.mark.parametrize(
    "how", ["open", "file", "link", "dangling link", pytest.param("another's", marks=pytest.mark.root)]
)
def test_where_the_name_is_taken_another_one_serves_and_is_told(
    base: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    _squat(base, how)
    before = _what_is_there(base)
    first = Scratch()
    second = Scratch()
    assert first.path.parent == second.path.parent != base
    assert first.path.parent.parent == base.parent
    assert first.path.parent.name.startswith(f"{base.name}-")
    assert first.path.parent.stat().st_mode & 0o777 == 0o700
    (said,) = [record.message for record in caplog.records]
    assert said.startswith(f"{base} is not a directory that only this user may write to: ")
    assert said.endswith(f" It is left alone, and containers' files are kept in {first.path.parent}.")
    second.remove()
    first.remove()
    shutil.rmtree(first.path.parent)
    assert _what_is_there(base) == before


def test_where_the_name_is_taken_what_dead_engines_left_is_swept_too(base: Path) -> None:
    base.touch()
    live = Scratch()
    left = live.path.parent / "engine-dead"
    left.mkdir()
    Scratch().remove()
    assert not left.exists()
    live.remove()


def test_where_anybody_may_rename_it_no_directory_stands(base: Path) -> None:
    base.parent.chmod(0o777)
    scratch = Scratch()
    assert not scratch.path.is_relative_to(base.parent)
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


def test_a_cgroup_that_may_not_be_removed_keeps_no_engine_from_starting_and_a_later_one_removes_it(base: Path) -> None:
    left = base / "engine-dead"
    group = base.parent / "group"
    group.mkdir()
    (group / "not a cgroup's").touch()
    left.mkdir(parents=True)
    (left / "control-group").write_text(f"{group}\n")
    base.chmod(0o700)
    Scratch().remove()
    assert group.exists()
    (group / "not a cgroup's").unlink()
    Scratch().remove()
    assert not group.exists()
    assert not left.exists()


def test_a_tree_goes_whatever_the_modes_in_it(tmp_path: Path) -> None:
    inner = tmp_path / "tree/a/b"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    (tmp_path / "tree/link").symlink_to("/")
    inner.chmod(0)
    inner.parent.chmod(0)
    remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


def test_what_a_dead_engine_left_hinders_no_later_one_however_deep_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deeper than Python recurses and than a path is long; in memory, where that many directories are cheap."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        monkeypatch.setenv("TMPDIR", place)
        live = Scratch()
        left = live.path.parent / "engine-dead"
        left.mkdir()
        _nest(left, 3000)
        (left / "link").symlink_to(live.path)
        Scratch().remove()
        assert not left.exists()
        assert live.path.exists()
        live.remove()


def _nest(top: Path, depth: int) -> None:
    where = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("directory", dir_fd=where)
        inner = os.open("directory", os.O_RDONLY, dir_fd=where)
        os.close(where)
        where = inner
    os.close(os.open("file", os.O_CREAT, dir_fd=where))
    os.close(where)

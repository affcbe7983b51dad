"""What outlives a run is its user's alone."""

from __future__ import annotations

import os
import stat
import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.user_cache import cache_directory, write_private

if TYPE_CHECKING:
    from pathlib import Path


def test_writing_replaces_a_file_that_everybody_could_read(tmp_path: Path) -> None:
    file = tmp_path / "id"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, "new")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_several_threads_may_write_the_same_one_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        for written in [threads.submit(write_private, tmp_path / "arn", "who" * 1000) for _ in range(400)]:
            written.result()
    assert [file.read_text() for file in tmp_path.iterdir()] == ["who" * 1000]


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, of somebody who can write nothing at home."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_who_can_write_nothing_at_home_has_it_in_the_directory_for_temporary_files(homeless: Path) -> None:
    directory = cache_directory("ledger")
    assert directory == homeless / f"pytest-fargate-sandbox-{os.geteuid()}" / "ledger"
    assert stat.S_IMODE(directory.parent.stat().st_mode) == 0o700
    assert cache_directory("ledger") == directory


def test_a_home_that_is_no_whole_path_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine works in another directory than whoever starts it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "somewhere")
    assert cache_directory().is_relative_to(tmp_path / "temporary")
    assert not (tmp_path / "somewhere").exists()


@pytest.mark.root
@pytest.mark.parametrize("made", ["cache", "cache/pytest-fargate-sandbox"])
def test_a_home_that_somebody_else_has_made_first_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    """As where HOME is ``/tmp``. He could have us write over any file of ours, by a link."""
    tmp_path.chmod(0o1777)
    (tmp_path / "temporary").mkdir()
    (tmp_path / made).mkdir(parents=True)
    for each in (tmp_path / "cache", tmp_path / made):
        each.chmod(0o1777)
    os.chown(tmp_path / made, 65534, 65534)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert cache_directory().is_relative_to(tmp_path / "temporary")
    os.chown(tmp_path / made, 0, 0)
    assert cache_directory() == tmp_path / "cache" / "pytest-fargate-sandbox"


def test_what_somebody_else_has_put_there_is_not_used(homeless: Path) -> None:
    (homeless / "elsewhere").mkdir()
    (homeless / f"pytest-fargate-sandbox-{os.geteuid()}").symlink_to("elsewhere")
    with pytest.raises(ConfigError, match=r"set XDG_CACHE_HOME$"):
        cache_directory("ledger")

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.local.state_directory import StateDirectory

if TYPE_CHECKING:
    from pathlib import Path


def test_who_wants_a_directory_that_an_engine_has_is_told_its_process(tmp_path: Path) -> None:
    _first = StateDirectory(tmp_path)
    with pytest.raises(FileExistsError) as raised:
        StateDirectory(tmp_path)
    assert str(raised.value) == f"another engine has {tmp_path}: process {os.getpid()}"


def test_a_directory_that_is_everybodys_stays_so_and_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(PermissionError, match="everybody may write to"):
        StateDirectory(tmp_path)
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777


def test_a_directory_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=rf"^{tmp_path}/file cannot be made \(File exists\): name another directory$"):
        StateDirectory(tmp_path / "file")

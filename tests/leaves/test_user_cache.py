"""What outlives a run is its user's alone."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.user_cache import write_private

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

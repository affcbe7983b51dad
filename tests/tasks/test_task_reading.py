"""Which directories are tasks."""

from __future__ import annotations

from pathlib import Path

from pytest_fargate_sandbox.tasks.task_reading import task_file_in


def test_a_directory_that_cannot_be_looked_into_is_no_task(tmp_path: Path) -> None:
    """On the way to a folder pytest comes by other users' homes. Root may enter those, but no path that is too long."""
    closed = tmp_path / "home"
    closed.mkdir(mode=0)
    assert task_file_in(closed) is None
    assert task_file_in(Path("/" + "d/" * 2045)) is None

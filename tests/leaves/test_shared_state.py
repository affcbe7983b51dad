"""What the processes of a run share goes with the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.shared_state import SharedState

if TYPE_CHECKING:
    from pathlib import Path


def test_who_comes_late_does_not_make_what_the_end_of_the_run_has_removed(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    state = SharedState(directory)
    with state.change() as document:
        document["is"] = "there"
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
    for late in (state, SharedState(directory)):
        with late.change() as document:
            document["is"] = "late"
        assert late.read() == {}
    assert not directory.exists()

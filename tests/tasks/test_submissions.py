"""What was handed in, before any sandbox has it."""

from __future__ import annotations

import os
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import NoVerdict, SandboxBroken
from pytest_fargate_sandbox.leaves.artifact_bounds import WORK_BOUNDS
from pytest_fargate_sandbox.tasks.submissions import Submissions

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["1", "1.tar"])
def test_a_link_is_no_work_of_an_agents(tmp_path: Path, name: str) -> None:
    """It would have this machine's files uploaded to where a verifier tells what it finds."""
    (tmp_path / "secret").write_text("secret")
    task = tmp_path / "results/agent/hello"
    task.mkdir(parents=True)
    (task / name).symlink_to(tmp_path / ("secret" if name == "1.tar" else ""))
    [found] = Submissions(tmp_path / "results").of("hello")
    nowhere: Any = None
    with pytest.raises(NoVerdict, match="is a link"):
        found.act(nowhere)


def test_a_pipe_is_no_work_that_anybody_waits_for(tmp_path: Path) -> None:
    (tmp_path / "results/agent/hello").mkdir(parents=True)
    os.mkfifo(tmp_path / "results/agent/hello/1.tar.gz")
    [found] = Submissions(tmp_path / "results").of("hello")
    there: Any = SimpleNamespace(bounds=WORK_BOUNDS)
    with pytest.raises(SandboxBroken, match=r"1\.tar\.gz, which was handed in, is neither a file nor a directory"):
        found.act(there)


@pytest.mark.parametrize("depth", [256, 1500])
def test_what_nobody_can_read_is_its_agents_failure(tmp_path: Path, depth: int) -> None:
    """Directories in each other, deeper than anybody takes them, and, with some Pythons, than those recurse."""
    (tmp_path / "results/agent/hello/1").mkdir(parents=True)
    here = os.open(tmp_path / "results/agent/hello/1", os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("x", dir_fd=here)
        above, here = here, os.open("x", os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.close(here)
    [found] = Submissions(tmp_path / "results").of("hello")
    there: Any = SimpleNamespace(bounds=WORK_BOUNDS)
    try:
        with pytest.raises(SandboxBroken, match="hello/1, which was handed in, cannot be read: "):
            found.act(there)
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "results"], check=True)  # Python, and so pytest, could not

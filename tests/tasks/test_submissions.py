"""What was handed in, before any sandbox has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import NoVerdict
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

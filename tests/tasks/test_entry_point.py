"""What an image does as its container begins."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.tasks.entry_point import beginning_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("comes_to", "told"),
    [('"$0" "$@"', ""), ("sleep 60", "the ENTRYPOINT of its Dockerfile does not come to its command: each sandbox")],
)
def test_an_entry_point_that_never_comes_to_its_command_is_told(tmp_path: Path, comes_to: str, told: str) -> None:
    words = ["/bin/sh", "-c", f"echo $$ > '{tmp_path}/it'; exec {comes_to}"]
    (tmp_path / "Dockerfile").write_text(f"FROM a\nENTRYPOINT {json.dumps(words)}\n")
    script = beginning_of(tmp_path).replace("seq 50", "seq 20" if not told else "seq 2")
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    it = wait_until(lambda: (tmp_path / "it").read_text() or None, deadline=30, what="its number")
    os.kill(int(it), signal.SIGKILL)
    assert done.stdout.startswith(told)
    assert bool(done.stdout) == bool(told)


def test_an_image_that_names_none_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    assert (beginning_of(tmp_path), beginning_of(None)) == ("", "")

"""What a task with a way out reaches, and what it does not; and that the way goes when the task or the engine does."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.runners.network.way_out import no_way_out
from tests.local import way_out_program
from tests.local.way_out_program import MACHINE, PRIVATE, PUBLIC

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.needs("namespaces", "slirp4netns", "ip")]
_PATIENCE = 60.0


@contextlib.contextmanager
def machine() -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = ["unshare", "--net", sys.executable, way_out_program.__file__]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_a_task_with_a_way_out_reaches_what_is_public_and_nothing_else() -> None:
    with machine() as (process, told):
        assert told["public"].pop(PUBLIC) == "connected"
        assert told["public"].pop("packets") == "PermissionError", "raw sockets go round closed routes"
        assert told["public"] == dict.fromkeys([MACHINE, *PRIVATE], "PermissionError")
        assert set(told["closed"].values()) == {"Network is unreachable", "given"}
        assert len(told["ways_out"]) == 1
        left, _ = process.communicate("")
        assert json.loads(left) == {"left": []}


def test_a_way_out_ends_with_an_engine_that_is_killed() -> None:
    with machine() as (process, told):
        (way,) = told["ways_out"]
        process.kill()
        process.wait()
        wait_until(lambda: not Path(f"/proc/{way}").exists() or None, deadline=_PATIENCE, what="its end")


def test_why_there_is_none_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert no_way_out() == "slirp4netns is not installed on this machine (Debian: apt-get install slirp4netns)"

"""A bar where a person looks on, and nothing anywhere else; driven on a real terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests import warm_python
from tests.tmux_screen import TmuxScreen

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = r"""
import pathlib, sys, threading, time
from pytest_fargate_sandbox.leaves import progress_bar
progress_bar._AFTER_SEC = 0.0

def other():
    with progress_bar.shown("other", 10):
        assert not progress_bar.is_shown()
        progress_bar.moved(5)

with progress_bar.shown("upload to /\x1b[2J\n測試" + "x" * 300, 40_000_000):
    progress_bar.moved(10_000_000)
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    while "wait" in sys.argv and not pathlib.Path("go").exists():
        time.sleep(0.02)
assert not progress_bar.is_shown()
print("done")
"""


@pytest.mark.parametrize("columns", [20, 70])
def test_it_is_drawn_in_one_line_and_leaves_none(tmp_path: Path, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "PYTEST_CURRENT_TEST"):
        monkeypatch.delenv(name, raising=False)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with TmuxScreen(tmp_path, [sys.executable, str(program), "wait"], columns, 6, cwd=tmp_path) as screen:
        shown = screen.wait_for(lambda text: "%" in text, "the bar")
        assert re.fullmatch(r" 25%  upload to /\\.*…", shown), shown
        assert len(shown) < columns
        (tmp_path / "go").touch()
        assert screen.wait_for(lambda text: "code" in text, "the end").split() == ["done", "code", "0"]


def test_in_a_pipe_there_is_none() -> None:
    done = warm_python.run("-c", PROGRAM)
    assert (done.stdout, done.stderr) == ("done\n", "")


TRANSFERS = """
import pathlib
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
from pytest_fargate_sandbox.leaves import progress_bar
progress_bar._AFTER_SEC = progress_bar._EVERY_SEC = 0.0

cfg = EcsFargateConfig(cluster="local", ssh_sidecar=SshSidecarConfig(exec_server_port=19542))
pathlib.Path("tree").mkdir()
for name in ("big", "tree/big"):
    pathlib.Path(name).write_bytes(bytes(3_000_000))
with EcsFargateSandbox(cfg, task_id="bars", run_id="bars") as sandbox:
    sandbox.start()
    sandbox.upload("big", "/big")
    sandbox.download("/big", "back")
    sandbox.upload("tree", "/tree")
    sandbox.download("/tree", "tree-back")
    sandbox.load(sandbox.save("/tree"), "/other")
"""


@pytest.mark.usefixtures("engine")
def test_a_file_that_takes_long_has_one_in_each_direction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "PYTEST_CURRENT_TEST"):
        monkeypatch.delenv(name, raising=False)
    ours, theirs = pty.openpty()
    with warm_python.Popen(["-c", TRANSFERS], cwd=tmp_path, stderr=theirs, stdin=theirs) as program:
        os.close(theirs)
        drawn = b""
        with contextlib.suppress(OSError):  # the terminal's other side is closed
            while chunk := os.read(ours, 65536):
                drawn += chunk
        os.close(ours)
    assert program.returncode == 0, drawn
    lines = drawn.decode().split("\r\x1b[K")
    assert lines[-1] == ""
    for words in (
        ("100%  upload to /big", "3.0 MB of 3.0 MB"),
        ("download of /big  3.0 MB, ",),
        ("upload to /tree  3.0 MB, ",),
        ("download of /tree  3.0 MB, ",),
        ("save /tree",),
        ("load into /other", "100%"),
    ):
        assert any(all(word in line for word in words) for line in lines), (words, lines)

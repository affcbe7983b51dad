"""A temporary directory goes with its process, or when the next is made; and only what is ours is ever touched."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.temporary_directory import TemporaryDirectory

if TYPE_CHECKING:
    from pathlib import Path

_MAKE = """
import sys
from pytest_fargate_sandbox.leaves.temporary_directory import TemporaryDirectory
made = TemporaryDirectory("build-")
(made.path / "inner").mkdir()
print(made.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # Python asks for it once
    return tmp_path


def test_it_is_its_users_alone_and_goes_when_told(temporary: Path) -> None:
    made = TemporaryDirectory()
    assert made.path.parent == temporary
    assert made.path.stat().st_mode & 0o777 == 0o700
    (made.path / "file").touch()
    assert made.remove()
    assert made.remove()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_a_live_one_has_is_not(temporary: Path) -> None:
    makers = [
        subprocess.Popen([sys.executable, "-c", _MAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    places = [maker.stdout.readline().strip() for maker in makers if maker.stdout]
    makers[0].kill()
    makers[0].wait()
    TemporaryDirectory().remove()
    assert [str(path) for path in temporary.iterdir()] == places[1:]
    for maker in makers:
        maker.communicate()
    TemporaryDirectory().remove()
    assert list(temporary.iterdir()) == []


def test_what_is_not_ours_or_not_surely_left_stays(temporary: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / ".in-use").touch()
    (temporary / "fargate-sandbox-link").symlink_to(elsewhere)
    (temporary / "fargate-sandbox-file").touch()
    for name, mode in (("open", 0o777), ("unlocked", 0o700), ("linked", 0o700)):
        directory = temporary / f"fargate-sandbox-{name}"
        directory.mkdir()
        directory.chmod(mode)
    (temporary / "fargate-sandbox-open/.in-use").touch()
    (temporary / "fargate-sandbox-linked/.in-use").symlink_to(elsewhere / ".in-use")
    if os.geteuid() == 0:
        anothers = temporary / "fargate-sandbox-another"
        anothers.mkdir(mode=0o700)
        (anothers / ".in-use").touch()
        os.chown(anothers, 20042, 20042)
    before = sorted(temporary.rglob("*"))
    TemporaryDirectory().remove()
    assert sorted(temporary.rglob("*")) == before
    assert (elsewhere / ".in-use").exists()

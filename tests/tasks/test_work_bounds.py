"""More than is taken of an agent's work: never waited for to its end, and his own affair."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import SandboxBroken
from pytest_fargate_sandbox.leaves.artifact_bounds import WORK_BOUNDS, WorkBounds
from pytest_fargate_sandbox.tasks.submissions import Submission
from tests.task_folders import TOML, make_task
from tests.tasks.test_task_trial import HELLO, Says

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox.tasks.task_trial import Trial

    MakeTrial = Callable[..., Trial]

SMALL = WorkBounds(bytes=1_000_000, files=1000)
TOO_MUCH = "the agent left more than crosses over to a verifier: with /app{} it would be more than"
NAMED = 'artifacts = ["hello.txt", "big"]\n' + TOML + '[verifier]\nenvironment_mode = "separate"\n'


def test_holes_weigh_nothing(tmp_path: Path, trial: MakeTrial) -> None:
    assert trial(make_task(tmp_path / "t"), Says(f"{HELLO}; truncate -s 100G big")).run().is_full


@pytest.mark.parametrize(
    ("toml", "script", "bounds", "where"),
    [
        (NAMED, "truncate -s 100G big", WORK_BOUNDS, "/big"),
        (TOML, "head -c 2000000 /dev/zero > big", SMALL, ""),
        (TOML, "seq 2000 | xargs touch", SMALL, ""),
        (NAMED, "mkdir big; cd big; seq 2000 | xargs touch", SMALL, "/big"),
    ],
)
def test_too_much_does_not_cross_over(
    tmp_path: Path, trial: MakeTrial, toml: str, script: str, bounds: WorkBounds, where: str
) -> None:
    tried = trial(make_task(tmp_path / "t", toml=toml), Says(f"{HELLO}; {script}"), bounds)
    with pytest.raises(SandboxBroken, match=TOO_MUCH.format(where)):
        tried.run()


def _zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("zeros", bytes(10_000_000))
        zipped.writestr("hello.txt", "hello\n")


def _cut_off(path: Path) -> None:
    """Behind what the task asks for."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        archive.addfile(hello := tarfile.TarInfo("hello.txt"), io.BytesIO(b"hello\n"))
        hello.size = 6
        archive.addfile(hello, io.BytesIO(b"hello\n"))
        archive.addfile(hello, io.BytesIO(b"hello\n"))
    path.write_bytes(whole.getvalue()[:-12])


def _tree(path: Path) -> None:
    path.mkdir()
    (path / "zeros").write_bytes(bytes(1_000_001))


def _pipe(path: Path) -> None:
    path.mkdir()
    os.mkfifo(path / "pipe")


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("bomb.zip", _zip_bomb, "bomb.zip, which was handed in, cannot be unpacked: .* it has 10000006 bytes in it"),
        ("cut.tar.gz", _cut_off, "gzip came to no end of it: it is cut off"),
        pytest.param(
            "0.patch",
            lambda path: path.write_text("no patch"),
            "0.patch, which was handed in, cannot be unpacked",
            marks=pytest.mark.needs("patch"),
        ),
        ("1", _tree, "more than may be handed in: it has more than 1000000 bytes or 1000 files .*--fargate-task-max-f"),
        ("2", _pipe, "its files leave their directory, while it was at work .*'pipe' is neither a file"),
    ],
)
def test_what_cannot_be_taken_of_what_was_handed_in_is_its_agents_failure(
    tmp_path: Path, trial: MakeTrial, name: str, make: Callable[[Path], None], told: str
) -> None:
    make(tmp_path / name)
    tried = trial(make_task(tmp_path / "t"), Submission("agent", "1", tmp_path / name), SMALL)
    with pytest.raises(SandboxBroken, match=told):
        tried.run()

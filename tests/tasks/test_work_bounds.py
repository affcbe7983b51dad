"""More than is taken of an agent's work: never waited for to its end, and his own affair."""

from __future__ import annotations

import gzip
import io
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
        (NAMED, "head -c 2000000 /dev/zero > big", SMALL, "/big"),
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


def _bomb(path: Path) -> None:
    """Ten megabytes of zeros, and what the task asks for."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("zeros", bytes(10_000_000))
        zipped.writestr("hello.txt", "hello\n")


def _lying_bomb(path: Path) -> None:
    """The same, which says of itself that it has a thousand."""
    _bomb(path)
    path.write_bytes(path.read_bytes().replace((10_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")))


def _tar_of(path: Path, *sizes: int) -> None:
    with tarfile.open(path, "w:gz") as archive:
        for number, size in enumerate(sizes):
            info = tarfile.TarInfo(f"zeros{number}")
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))


def _tree(path: Path) -> None:
    path.mkdir()
    (path / "zeros").write_bytes(bytes(1_000_001))


@pytest.mark.parametrize(
    ("name", "make", "told"),
    [
        ("bomb.zip", _bomb, "it has 10000006 bytes in it, and may have 1000000"),
        ("bomb.zip", _lying_bomb, "unpacking bomb.zip returned"),
        ("bomb.tar.gz", lambda path: _tar_of(path, 10_000_000), "Unexpected EOF in archive"),
        ("named-wrongly.tar", lambda path: _tar_of(path, 600_000, 600_000), "unpacking named-wrongly.tar returned"),
        ("sparse.tar.gz", lambda path: path.write_bytes(gzip.compress(bytes(20_000_000))), ""),
        ("many.tar.gz", lambda path: _tar_of(path, *[0] * 1500), ""),
        ("1", _tree, "is more than may be handed in: it has more than 1000000 bytes or 1000 files"),
    ],
)
def test_too_much_that_was_handed_in_gets_nothing(
    tmp_path: Path, trial: MakeTrial, name: str, make: Callable[[Path], None], told: str
) -> None:
    make(tmp_path / name)
    tried = trial(make_task(tmp_path / "t"), Submission("agent", "1", tmp_path / name), SMALL)
    try:
        reward, sentence = tried.run().value, ""
    except SandboxBroken as error:
        reward, sentence = 0, str(error)
    assert reward == 0
    assert told in " ".join([sentence, *tried.log.notes])

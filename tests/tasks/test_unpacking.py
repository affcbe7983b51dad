"""What was packed is unpacked by the programs of an image: all of it, or that is told."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.artifact_bounds import WorkBounds
from pytest_fargate_sandbox.tasks.unpacking import NOT_FOUND, suffix_of, unpacks
from tests.components import need

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = WorkBounds(bytes=1_000_000, files=1000)
BYTES = "it is cut off, or has more than 1000000 bytes in it"
FILES = "it has more than 1000 files in it"


def _tar_of(path: Path, *sizes: int, mode: str = "w:gz") -> None:
    path.write_bytes(_tarred(*sizes, mode=mode))


def _tarred(*sizes: int, mode: str) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode=mode) as archive:
        archive.addfile(_here())
        for number, size in enumerate(sizes):
            info = tarfile.TarInfo(f"file{number}")
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))
    return whole.getvalue()


def _here() -> tarfile.TarInfo:
    """As whoever packs ``.`` has it."""
    info = tarfile.TarInfo(".")
    info.type, info.mode = tarfile.DIRTYPE, 0o700
    return info


def _zip_of(path: Path, *sizes: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for number, size in enumerate(sizes):
            zipped.writestr(f"file{number}", bytes(size))


def _lying_zip(path: Path) -> None:
    """Of ten megabytes, which says of itself that it has a thousand bytes."""
    _zip_of(path, 10_000_000)
    path.write_bytes(path.read_bytes().replace((10_000_000).to_bytes(4, "little"), (1000).to_bytes(4, "little")))


def _cut(path: Path, size: int) -> None:
    _tar_of(path, 10, 50_000, 10)
    path.write_bytes(path.read_bytes()[:size])


REFUSED: list[tuple[str, Callable[[Path], None], str]] = [
    ("cut.tar.gz", lambda path: _cut(path, -8), BYTES),
    ("cut-early.tar.gz", lambda path: _cut(path, 60), BYTES),
    ("cut.tar", lambda path: path.write_bytes(_tarred(50_000, mode="w:")[:20_000]), "tar could not unpack it"),
    ("none.tar.xz", lambda path: path.write_bytes(b"nothing of the kind"), "xz came to no end of it"),
    ("bomb.tar.gz", lambda path: _tar_of(path, 10_000_000), BYTES),
    ("bomb.tar.bz2", lambda path: _tar_of(path, 10_000_000, mode="w:bz2"), BYTES),
    ("zeros.tar.gz", lambda path: path.write_bytes(gzip.compress(bytes(20_000_000))), BYTES),
    ("named-wrongly.tar", lambda path: _tar_of(path, 600_000, 600_000), "tar could not unpack it"),
    ("many.tar.gz", lambda path: _tar_of(path, *[0] * 1500), FILES),
    ("bomb.zip", lambda path: _zip_of(path, 600_000, 600_000), "it has 1200000 bytes in it, and may have 1000000"),
    ("lying.zip", _lying_zip, ""),
    ("many.zip", lambda path: _zip_of(path, *[0] * 1500), "it has 1500 files in it, and may have 1000"),
]


def _unpacked(archive: Path, user: int | None = None) -> tuple[int, str]:
    """Beside itself."""
    done = subprocess.run(
        unpacks(archive.name, suffix_of(archive), SMALL),
        cwd=archive.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        user=user,
        check=False,
    )
    return done.returncode, done.stdout


def _need_program_for(name: str) -> None:
    need(*{".xz": ["xz"], ".bz2": ["bzip2"]}.get(Path(name).suffix, []))


@pytest.mark.parametrize(("name", "make", "told"), REFUSED)
def test_what_is_no_whole_archive_or_too_much_fails(
    tmp_path: Path, name: str, make: Callable[[Path], None], told: str
) -> None:
    _need_program_for(name)
    make(tmp_path / name)
    code, said = _unpacked(tmp_path / name)
    assert code not in (0, NOT_FOUND), said
    assert told in said


@pytest.mark.parametrize("name", ["x.tar", "x.tgz", "x.tar.xz", "x.tar.bz2", "x.zip"])
def test_a_whole_one_is_unpacked(tmp_path: Path, name: str) -> None:
    """Also where there is padding behind its end, and where the workspace is another's, who lets all write there."""
    _need_program_for(name)
    if name == "x.zip":
        _zip_of(tmp_path / name, 5, 0)
    else:
        packed = {"x.tar": bytes, "x.tgz": gzip.compress, "x.tar.xz": lzma.compress, "x.tar.bz2": bz2.compress}[name]
        (tmp_path / name).write_bytes(packed(_tarred(5, 0, mode="w:") + bytes(500_000)))
    tmp_path.chmod(0o777)
    (tmp_path / name).chmod(0o644)
    code, said = _unpacked(tmp_path / name, user=65534 if os.geteuid() == 0 else None)
    assert code == 0, said
    assert {each.name: each.stat().st_size for each in tmp_path.iterdir() if each.name != name} == {
        "file0": 5,
        "file1": 0,
    }
    if os.geteuid() == 0:
        assert tmp_path.stat().st_mode & 0o777 == 0o777


def test_without_a_program_for_it_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "x.tar.zst").write_bytes(b"")
    assert _unpacked(tmp_path / "x.tar.zst") == (NOT_FOUND, "there is no zstd\n")

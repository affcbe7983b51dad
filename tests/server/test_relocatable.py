"""A copied Python; that it works under a root of busybox is shown with the sidecar that copies it."""

from __future__ import annotations

import os
import py_compile
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_fargate_sandbox.server import relocatable


def _copy(target: Path, python: str = sys.executable) -> None:
    command = [python, "-I", "-S", "-B", str(relocatable.__file__), str(target)]
    subprocess.run(command, check=True, umask=0o077, stdin=subprocess.DEVNULL)


def _run(target: Path, program: str) -> str:
    loader = [f"{target}/lib/ld.so", "--library-path", f"{target}/lib", f"{target}/bin/python3"]
    done = subprocess.run([*loader, "-I", "-S", "-B", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("python", sorted({sys.executable, shutil.which("python3", path="/usr/bin") or sys.executable}))
def test_the_copy_starts_by_its_own_loader_and_finds_its_own_modules(tmp_path: Path, python: str) -> None:
    _copy(tmp_path / "runtime", python)
    program = "import sys, ssl, hashlib, json; print(sys.prefix, json.__file__, ssl.__file__, sep='\\n')"
    places = {part.split("/lib/")[0] for part in _run(tmp_path / "runtime", program).splitlines()}
    assert places == {f"{tmp_path}/runtime"}
    assert sum(len(files) for _, _, files in os.walk(tmp_path)) < 200, "each sandbox copies it, file by file"


def test_everybody_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    _copy(tmp_path / "runtime")
    for path in (tmp_path / "runtime").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & stat.S_IROTH, path
        assert not path.is_dir() or mode & stat.S_IXOTH, path


def test_a_copy_that_is_ready_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "ready").touch()
    relocatable.copy_runtime(str(tmp_path))
    assert os.listdir(tmp_path) == ["ready"]  # noqa: PTH208


def test_a_copy_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    _copy(tmp_path / "runtime")
    (tmp_path / "runtime/ready").unlink()
    (tmp_path / "runtime/bin/python3").unlink()
    _copy(tmp_path / "runtime")
    assert (tmp_path / "runtime/ready").exists()
    assert _run(tmp_path / "runtime", "print(1)") == "1"


def test_what_was_compiled_of_another_source_is_not_taken(tmp_path: Path) -> None:
    source = tmp_path / "module.py"
    source.write_text("told = 1\n")
    assert relocatable._packed(str(source)) == ("", b"told = 1\n")
    compiled = Path(py_compile.compile(str(source), doraise=True))
    assert relocatable._packed(str(source)) == ("c", compiled.read_bytes())
    source.write_text("told = 22\n")
    assert relocatable._packed(str(source)) == ("", b"told = 22\n")

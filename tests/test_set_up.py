"""What stands in the way of setting up is told, by what to do about it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_without_pythons_venv_and_whoever_installs_it_that_is_told_and_nothing_made(tmp_path: Path) -> None:
    for name in ("bash", "dirname", "env"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    done = subprocess.run(
        [ROOT / "tests/set-up", tmp_path / "venv"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    told, why = done.stderr.splitlines()
    assert "; as root: apt-get install " in told
    assert "python3-venv" in told
    assert why.endswith(
        "nothing here makes a virtual environment: install Python's venv (Debian: apt-get install python3-venv)"
    )
    assert not (tmp_path / "venv").exists()

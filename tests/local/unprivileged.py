"""Root gives up being root, for tests of what an engine without root does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOT = Path(__file__).parents[2]
_SOMEBODY = 20042
"""No account need have this number."""


class Somebody:
    """A user with a directory of his own, and a Python that he may run."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        os.chown(home, _SOMEBODY, _SOMEBODY)
        self.python = next((python for python in self._candidates() if self._can_test_with(python)), None)

    def run(self, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
        assert self.python is not None
        return self._run((self.python, *arguments), timeout)

    def _candidates(self) -> Sequence[str]:
        """Root's own interpreter may stand in root's home; the system's fits where it is of the same version."""
        system = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin")
        return [path for path in (sys.executable, system) if path]

    def _can_test_with(self, python: str) -> bool:
        try:
            return self._run((python, "-c", "import pytest, paramiko, boto3"), 60).returncode == 0
        except PermissionError:
            return False

    def _run(self, command: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("CI",) if name in os.environ}
        return subprocess.run(
            command,
            user=_SOMEBODY,
            group=_SOMEBODY,
            extra_groups=[],
            env=kept
            | {
                "PATH": "/usr/local/bin:/usr/bin:/bin",
                "HOME": str(self.home),
                "PYTHONPATH": f"{_ROOT}:{sysconfig.get_path('purelib')}",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

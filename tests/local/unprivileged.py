"""Root gives up being root, for tests of what an engine without root does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOT = Path(__file__).parents[2]
SOMEBODY = 20042
"""No account need have this number."""

_HAS_ALL = "import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, ('pytest', 'paramiko', 'boto3'))))"
_ENTER = f"""
mount --bind "$1" "$HOME/project"
mount --bind "$2" "$HOME/packages"
shift 2
cd "$HOME/project"
exec setpriv --reuid={SOMEBODY} --regid={SOMEBODY} --clear-groups env "$@"
"""
"""In mounts of its own: what lies in root's home, which nobody else may enter, lies in somebody's as well. ``env``, for
setpriv still has root's capabilities when it looks for what it is to run."""


class Somebody:
    """A user with a directory of his own, and a Python that he may run."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for directory in (home, home / "project", home / "packages"):
            directory.mkdir()
            os.chown(directory, SOMEBODY, SOMEBODY)
        self.environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(home),
            "PYTHONPATH": f"{home / 'project'}:{home / 'packages'}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def command(self, *arguments: str, before: Sequence[str] = ()) -> Sequence[str]:
        """What root runs in ``environment``, to be Python with these arguments, of somebody's, in the same process."""
        return [*self._enter(), *before, _python(), *arguments]

    def run(self, *arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
        return self._run(self.command(*arguments), timeout)

    def may_test_with(self, python: str) -> bool:
        return self._run([*self._enter(), python, "-c", _HAS_ALL], 60).returncode == 0

    def _enter(self) -> Sequence[str]:
        return ["unshare", "--mount", "/bin/sh", "-ec", _ENTER, "sh", str(_ROOT), sysconfig.get_path("purelib")]

    def _run(self, command: Sequence[str], timeout: float) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("CI",) if name in os.environ}
        return subprocess.run(
            command,
            env=kept | self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )


def problem() -> str | None:
    """Why nobody but root can run these tests, if so."""
    if os.geteuid() != 0:
        return "nobody but root can run anything as another user: run these tests as root"
    if _python():
        return None
    return "nobody but root may run this Python: make the virtual environment with one that stands outside root's home"


@cache
def _python() -> str:
    """Root's own interpreter may stand in root's home; the system's fits where it is of the same version."""
    system = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin:/usr/local/bin")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        somebody = Somebody(Path(directory) / "home")
        return next((path for path in (sys.executable, system) if path and somebody.may_test_with(path)), "")

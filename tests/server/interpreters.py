"""The Pythons of this machine on which the server may be tried: any image's could be any of them."""

from __future__ import annotations

import os
import re
import shutil
import sys
from functools import lru_cache
from pathlib import Path

_NAME = re.compile(r"3\.(\d+)")


@lru_cache(maxsize=1)
def interpreters() -> dict[str, str]:
    """Version to path, from 3.6 on: what pyenv or the PATH has, and the one that runs this."""
    found = {f"3.{sys.version_info.minor}": sys.executable}
    for minor in range(6, 30):
        program = shutil.which(f"python3.{minor}")
        if program and Path(program).parent.name != "shims":
            found.setdefault(f"3.{minor}", program)
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for directory in sorted(versions.glob("3.*")):
        match = _NAME.match(directory.name)
        program_path = directory / "bin" / "python3"
        if match and int(match.group(1)) >= 6 and program_path.exists():
            found.setdefault(f"3.{match.group(1)}", str(program_path))
    return dict(sorted(found.items(), key=lambda item: int(item[0][2:])))


def oldest_and_newest() -> list[str]:
    versions = list(interpreters())
    return [versions[0], versions[-1]] if len(versions) > 1 else versions

"""Our folder in the user's cache directory: what has to outlive a run, readable by this user alone."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from pathlib import Path

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.names import CACHE_DIR_NAME


def cache_directory(*parts: str) -> Path:
    """``$XDG_CACHE_HOME/pytest-fargate-sandbox/<parts>``, made with mode 0700 where it is missing.

    Where nothing can be written there, as in a container whose user has no home, or somebody else has made it, or it is
    another place for each directory that a process works in, it is in ``$TMPDIR``.
    """
    directory = _at_home() or _in_temporary()
    for part in parts:
        directory = directory / part
        directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def _at_home() -> Path | None:
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        if not home.is_absolute():  # https://specifications.freedesktop.org/basedir-spec/latest/#basics
            return None
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours = home / CACHE_DIR_NAME
        ours.mkdir(mode=0o700, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: this user has no home at all
        return None
    return ours if os.access(ours, os.W_OK | os.X_OK) and not is_somebody_elses(ours) else None


def is_somebody_elses(directory: Path) -> bool:
    """Whether it stands, at any height, where anybody may put something (``/tmp``), and somebody else has."""
    whole = directory.absolute()
    ways = zip((whole, *whole.parents), whole.parents, strict=False)
    return any(
        parent.stat().st_mode & stat.S_IWOTH and child.lstat().st_uid not in (0, os.geteuid()) for child, parent in ways
    )


def _in_temporary() -> Path:
    """Others may write there too, and could have been first."""
    ours = Path(tempfile.gettempdir()) / f"{CACHE_DIR_NAME}-{os.geteuid()}"
    ours.mkdir(mode=0o700, exist_ok=True)
    found = ours.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"no directory to keep notes in: the home cannot be written to, or is another's, and {ours} is not this "
            "user's alone; "
            "set XDG_CACHE_HOME"
        )
    return ours


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one step; nobody but this user ever sees it, and nobody sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise

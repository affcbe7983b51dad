"""Our folder in the user's cache directory: what has to outlive a run, readable by this user alone."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_fargate_sandbox.leaves.names import CACHE_DIR_NAME


def cache_directory(*parts: str) -> Path:
    """``$XDG_CACHE_HOME/pytest-fargate-sandbox/<parts>``, made with mode 0700 where it is missing."""
    home = os.environ.get("XDG_CACHE_HOME")
    directory = Path(home) if home else Path.home() / ".cache"
    directory.mkdir(parents=True, exist_ok=True)
    for part in (CACHE_DIR_NAME, *parts):
        directory = directory / part
        directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` in one step; nobody but this user ever sees it, and nobody sees half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)

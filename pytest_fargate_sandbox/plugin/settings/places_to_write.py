"""Whether what a run is to write can be written, asked at its start and not after an hour. Nothing is made for that."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox.plugin.settings.run_settings import Settings

_FILES = ("report_json", "results", "quarantine")
_DIRECTORIES = ("artifacts", "store")
_ELSEWHERE = "s3://"


def refuse_unwritable(settings: Settings, start: Path) -> None:
    """Raises ``pytest.UsageError``; relative paths begin at ``start``."""
    for name in (*_FILES, *_DIRECTORIES):
        said = settings.run[name]
        if said is None or said.startswith(_ELSEWHERE):
            continue
        path = start / said
        try:
            _refuse(path, is_directory=name in _DIRECTORIES)
        except OSError as error:
            raise pytest.UsageError(f"{settings.sources[f'run.{name}']}: {path}: {error.strerror}") from None


def _refuse(path: Path, *, is_directory: bool) -> None:
    there = next(each for each in (path, *path.parents) if each.exists())
    wants_directory = is_directory or there != path
    if there.is_dir() != wants_directory:
        number = errno.ENOTDIR if wants_directory else errno.EISDIR
    elif not os.access(there, os.W_OK):
        number = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
    else:
        return
    raise OSError(number, os.strerror(number), str(there))

"""Trees that are prepared once, for all processes of a run and for later runs, as long as they are made of the same.

A snapshot lies in the user's cache under the digest of what it was made from. What no run has wanted for a month goes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import ConfigError, UnsafeArchiveError
from pytest_fargate_sandbox.leaves.once_for_all import once_for_all
from pytest_fargate_sandbox.leaves.user_cache import cache_directory
from pytest_fargate_sandbox.sandbox.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_ONE_MONTH_SEC = 30 * 86400.0


class PreparedTrees:
    def __init__(self, run_directory: Path) -> None:
        """``run_directory`` is where what all processes of a run share lies."""
        self._shared = run_directory / "prepared"

    def snapshot(self, name: str, made_of: Mapping[str, str], make: Callable[[Path], None]) -> Path:
        """The one that ``make`` wrote into a file, now or before; what kept it from that is everybody's failure."""
        self._check_name(name, made_of)
        key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]
        directory = cache_directory("prepared")
        path = directory / f"{key}.tar"

        def found_or_made() -> str:
            from pytest_fargate_sandbox.leaves.file_lock import FileLock, patiently

            lock = FileLock(directory / f"{key}.lock")
            with patiently(lock, f"the preparation {name}"):  # of two runs at once the second one waits, and finds it
                if not _is_whole(path):
                    _sweep(directory)
                    _make(path, make)
                os.utime(path)
            return str(path)

        once_for_all(self._shared, key, found_or_made)
        return path

    def _check_name(self, name: str, made_of: Mapping[str, str]) -> None:
        """One name is one preparation, or tests would have another start than they say."""
        key = f"name-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
        first = once_for_all(self._shared, key, lambda: dict(made_of))
        differing = sorted(part for part in {*first, *made_of} if first.get(part) != made_of.get(part))
        if differing:
            raise ConfigError(
                f"fargate_prepared({name!r}): two preparations of this name differ in {', '.join(differing)}: give "
                "each a name of its own",
                key="name",
                value=name,
            )


def _make(path: Path, make: Callable[[Path], None]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        make(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _is_whole(path: Path) -> bool:
    try:
        Snapshot.open(path).check()
    except (FileNotFoundError, UnsafeArchiveError):
        return False
    return True


def _sweep(directory: Path) -> None:
    """What a run that was killed has left goes as well."""
    for file in directory.iterdir():
        with contextlib.suppress(OSError):
            if file.stat().st_mtime < time.time() - _ONE_MONTH_SEC:
                file.unlink()

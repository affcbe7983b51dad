"""Removes what tasks have left: directories that nobody may enter, and nested as deep as somebody liked."""

from __future__ import annotations

import itertools
import os
import stat
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def remove_tree(top: Path) -> None:
    """All of it, also where two processes remove it at once; what cannot be removed stays, without an error.

    A directory in it is moved up to ``top`` before it is emptied, so that no depth is ever reached: a task may nest
    more of them than Python recurses, a path can name, or a process may have open. Nothing is kept in memory either.
    """
    token = uuid.uuid4().hex
    places = (f"{top}/{token}-{number}" for number in itertools.count())
    while sum(_remove(entry, places) for entry in _entries(str(top))):
        pass
    _done(os.rmdir, str(top))


def _remove(entry: os.DirEntry[str], places: Iterator[str]) -> bool:
    """An entry of the top, or as much of it as can be for now; whether that was anything."""
    if not entry.is_dir(follow_symlinks=False):
        return _done(os.unlink, entry.path)
    _done(os.chmod, entry.path, stat.S_IRWXU)  # an overlay's own work directory has no mode at all
    changed = False
    for inner in _entries(entry.path):
        if inner.is_dir(follow_symlinks=False):
            _done(os.chmod, inner.path, stat.S_IRWXU)  # another parent is written down in the directory itself
            changed |= _done(os.rename, inner.path, next(places))
        else:
            changed |= _done(os.unlink, inner.path)
    return _done(os.rmdir, entry.path) or changed


def _entries(directory: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            yield from entries
    except OSError:  # somebody else's, or the launcher of the same engine was faster
        return


def _done(operation: Callable[..., None], *arguments: Any) -> bool:
    try:
        operation(*arguments)
    except OSError:
        return False
    return True

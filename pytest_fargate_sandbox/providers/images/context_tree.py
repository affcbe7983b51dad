"""One walk over a build context, in an order that is the same on every machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.leaves.errors import ImageBuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTEXT_PHASE = "CONTEXT"
"""The phase of an ``ImageBuildError`` that happened before anything was sent anywhere."""


class ContextEntry(NamedTuple):
    """A file, directory or link below the context's root; ``name`` is its path from there, with slashes."""

    name: str
    path: str
    stat: os.stat_result
    is_link: bool

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.stat.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.stat.st_mode)

    @property
    def permissions(self) -> int:
        return stat.S_IMODE(self.stat.st_mode)


def walk(directory: str, skip: Callable[[str, bool], bool] | None = None) -> Iterator[ContextEntry]:
    """Every entry below ``directory``, parents first, each folder sorted by name; links are not followed.

    ``skip(name, is_directory)`` leaves an entry out, and with a directory all that is in it.
    """
    return _walk(directory, "", skip)


def _walk(directory: str, prefix: str, skip: Callable[[str, bool], bool] | None) -> Iterator[ContextEntry]:
    with os.scandir(directory) as found:
        children = sorted(found, key=lambda each: each.name)
    for child in children:
        name = prefix + child.name
        is_directory = child.is_dir(follow_symlinks=False)
        if skip is not None and skip(name, is_directory):
            continue
        entry = ContextEntry(name, child.path, child.stat(follow_symlinks=False), child.is_symlink())
        if not (is_directory or entry.is_file or entry.is_link):
            continue  # a socket, a pipe, a device: no image can hold it
        yield entry
        if is_directory:
            yield from _walk(child.path, name + "/", skip)


def checked_context(directory: str | Path) -> Path:
    """``directory`` as a path, if an image can be built from it; else an error that says what is missing."""
    root = Path(directory)
    if not root.is_dir():
        what = "is a file, not a directory" if root.exists() else "does not exist"
        raise _unfit(f"the environment {str(root)!r} {what}; name a directory with a Dockerfile")
    if not (root / "Dockerfile").is_file():
        names = sorted(each.name for each in root.iterdir())
        what = f"has no Dockerfile (there is: {', '.join(names[:10])})" if names else "is empty"
        raise _unfit(f"the environment {str(root)!r} {what}; an image is built from a file named Dockerfile in it")
    return root


def _unfit(message: str) -> ImageBuildError:
    return ImageBuildError(message, phase=CONTEXT_PHASE)

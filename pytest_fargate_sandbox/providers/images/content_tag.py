"""What a build context contains, as a tag: the same content is the same image, built once, ever."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.call_arguments import check_name, local_path
from pytest_fargate_sandbox.leaves.errors import ImageBuildError
from pytest_fargate_sandbox.providers.images.context_tree import CONTEXT_PHASE, ContextEntry, walk

if TYPE_CHECKING:
    from pathlib import Path

_TAG_LENGTH = 128
_CHUNK = 1 << 20


def get_ecr_image_tag(environment_dir: str | Path, environment_name: str) -> str:
    """``<name>__<first 8 hex of a SHA-256>`` over the sorted relative paths and contents of all files."""
    check_name("environment_name", environment_name, blank=False)
    contents, _ = _digests(str(local_path("environment_dir", environment_dir)))
    return f"{environment_name}__{contents[:8]}"


def build_tag(environment_dir: str | Path, environment_name: str, architecture: str) -> str:
    """The tag that we build under: the plain one, the architecture, and a digest of modes, links and folders.

    A ``chmod``, a link that points elsewhere or another architecture is another image, though the files are the same.
    """
    contents, shapes = _digests(os.fspath(environment_dir))
    return fitting_tag(environment_name, f"__{contents[:8]}-{architecture.lower()}-{shapes[:8]}")


def fitting_tag(name: str, ending: str) -> str:
    """``name`` and ``ending`` as a tag that a registry takes: its characters, its length, no leading dot or dash."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).lstrip(".-") or "image"
    return plain[: _TAG_LENGTH - len(ending)] + ending


def _digests(directory: str) -> tuple[str, str]:
    if not os.path.isdir(directory):  # noqa: PTH112 - as below
        raise ImageBuildError(
            f"{directory}: no such directory; name one with a Dockerfile as `environment_dir`", phase=CONTEXT_PHASE
        )
    contents, shapes = hashlib.sha256(), hashlib.sha256()
    for entry in walk(directory):
        name = os.fsencode(entry.name)
        # A link to a file counts with that file's bytes, as it always did in this tag.
        if entry.is_file or (entry.is_link and os.path.isfile(entry.path)):  # noqa: PTH113 - 10,000 Path objects are slow
            contents.update(name)
            _add_file(contents, entry)
        shapes.update(b"%s\0%s\0" % (name, _shape(entry)))
    return contents.hexdigest(), shapes.hexdigest()


def _shape(entry: ContextEntry) -> bytes:
    if entry.is_link:
        return b"link " + os.fsencode(os.readlink(entry.path))  # noqa: PTH115 - as above
    return b"%s %o" % (b"directory" if entry.is_directory else b"file", entry.permissions)


def _add_file(digest: hashlib._Hash, entry: ContextEntry) -> None:
    descriptor = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while chunk := os.read(descriptor, _CHUNK):
            digest.update(chunk)
            if not entry.is_link and entry.stat.st_size < _CHUNK:
                break
    finally:
        os.close(descriptor)

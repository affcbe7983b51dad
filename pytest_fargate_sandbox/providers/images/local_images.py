"""What images say of themselves that lie on this machine already: nothing is fetched."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.providers.images.public_registry import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PROGRAMS = ("podman", "docker")
_TIMEOUT_SEC = 10.0
_AT_ONCE = 100


def entry_points_of(images: Iterable[str]) -> dict[str, list[str]]:
    """The words of the ENTRYPOINT of each image that podman or docker has here, and that has one."""
    names = sorted({image for image in images if not image.startswith("-")})
    known: dict[str, list[str]] = {}
    for program in filter(shutil.which, _PROGRAMS):
        for start in range(0, len(names), _AT_ONCE):
            for found in _inspected(program, names[start : start + _AT_ONCE]):
                words = (found.get("Config") or {}).get("Entrypoint")
                if isinstance(words, list) and words:
                    known |= {_spelled_out(name): words for name in _names_of(found)}
    # What was built here by a short name is of no registry for podman.
    told = {name: known.get(_spelled_out(name)) or known.get(_spelled_out(f"localhost/{name}")) for name in names}
    return {name: [str(word) for word in words] for name, words in told.items() if words}


def _inspected(program: str, names: list[str]) -> list[dict[str, Any]]:
    """Those of them that it has: of the others it complains, and tells all the same."""
    try:
        done = subprocess.run(
            [program, "image", "inspect", "--", *names], capture_output=True, timeout=_TIMEOUT_SEC, check=False
        )
        found = json.loads(done.stdout or b"[]")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return []
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _names_of(found: dict[str, Any]) -> Iterator[str]:
    yield from found.get("RepoTags") or ()
    yield from found.get("RepoDigests") or ()


def _spelled_out(name: str) -> str:
    return Reference.parse(name).pinned

"""Which paths of a sandbox can be a task's own, and which are its verifier's."""

from __future__ import annotations

import posixpath
from pathlib import PurePosixPath

NEVER = ("/tests", "/logs/verifier", "/solution", "/oracle")
"""The verifier's own: nothing of the agent's comes to stand there."""

_SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "run", "sbin", "sys", "usr")
"""Directories at the root in which no workspace is: what lies there decides what the verifier's own programs are."""

_NOT_ITSELF = ("/", "/opt", "/var")
"""Directories that have workspaces in them and are none."""


def plain(path: str) -> str:
    """An absolute path without the ways in which it may be said otherwise."""
    return "/" + posixpath.normpath(path).lstrip("/")


def is_workspace(path: str) -> bool:
    """Whether all of it may cross over, of a task that was written without a thought of that."""
    path = plain(path)
    parts = PurePosixPath(path).parts
    is_system = len(parts) > 1 and parts[1] in _SYSTEM and parts[:3] != ("/", "usr", "src")
    return path not in _NOT_ITSELF and not is_system and not overlaps_verifiers(path)


def overlaps_verifiers(path: str) -> bool:
    here = PurePosixPath(plain(path))
    return any(here == own or here in own.parents or own in here.parents for own in map(PurePosixPath, NEVER))

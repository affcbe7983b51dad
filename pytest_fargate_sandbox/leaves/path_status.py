"""What is known of a path in a sandbox without its content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PathStatus:
    """As the kernel tells it; ``target`` is where a link leads, if the link itself was asked for."""

    kind: Literal["file", "directory", "link", "other"]
    size: int
    mode: int
    """The permission bits."""
    uid: int
    gid: int
    mtime: float
    target: str = ""

    @property
    def is_file(self) -> bool:
        return self.kind == "file"

    @property
    def is_directory(self) -> bool:
        return self.kind == "directory"

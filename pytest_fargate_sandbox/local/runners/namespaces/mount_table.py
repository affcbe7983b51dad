"""What is mounted where on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_ESCAPED = re.compile(r"\\([0-7]{3})")


class MountPoint(NamedTuple):
    path: str
    file_system: str


def mount_points() -> list[MountPoint]:
    """In the order in which they were mounted, as this process sees them."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    fields = (line.split() for line in lines)
    return [MountPoint(_unescaped(row[4]), row[row.index("-", 6) + 1]) for row in fields]


def file_system_at(path: str) -> str:
    inside = [point for point in mount_points() if path == point.path or path.startswith(point.path.rstrip("/") + "/")]
    # Of two at the same place the later one hides the other.
    return max(enumerate(inside), key=lambda found: (len(found[1].path), found[0]))[1].file_system if inside else ""


def _unescaped(path: str) -> str:
    return _ESCAPED.sub(lambda code: chr(int(code[1], 8)), path)

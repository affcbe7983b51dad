"""The processes of this machine, as its kernel tells of them."""

from __future__ import annotations

import contextlib
from pathlib import Path


def command_lines() -> list[list[str]]:
    """What each process was started with; nothing of what ends under our eyes."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found.append((process / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1])
        except OSError:  # noqa: PERF203
            continue
    return found


def descendants(pid: int) -> list[int]:
    """Children first, each with its own."""
    return [each for child in children(pid) for each in (child, *descendants(child))]


def children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError):  # it ends under our eyes itself
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, task.read_text().split())
    return found


def open_files(pid: int) -> set[str]:
    """What its descriptors are of, but for those that it closes under our eyes."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(str(descriptor.readlink()))
        except FileNotFoundError:  # noqa: PERF203
            continue
    return found

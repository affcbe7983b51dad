"""What the host's inodes say, and how to make them say it again."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hostile.inside.hostile_walk import mounts, paths_below

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty"))
_MOST_PATHS = 2000


@dataclass(frozen=True)
class Inode:
    """Of the times only that of the last change: every attempt sets it, nobody can set it back, and use does not."""

    mode: int
    owner: int
    group: int
    changed: int = 0
    attributes: tuple[str, ...] = ()
    modified: int = field(default=0, compare=False)


class HostInodes:
    """As they are when this is made. ``trees``: directories that a sandbox sees, of an image or an interpreter."""

    def __init__(self, *trees: str | Path) -> None:
        self._trees = trees
        self._known = self._look()
        self._are_known_to_be_the_same = False

    def changes(self) -> list[str]:
        """Of /dev, /proc and /sys only what is there still: names come and go in them by themselves."""
        now = self._look()
        gone = [path for path, known in self._known.items() if known.changed and path not in now]
        both = sorted(self._known.keys() & now.keys())
        changes = gone + [
            f"{path}: {self._known[path]}, now {now[path]}" for path in both if now[path] != self._known[path]
        ]
        self._are_known_to_be_the_same = not changes
        return changes

    def restore(self) -> None:
        """No failure may leave to whatever runs next a machine that is not as it was."""
        if self._are_known_to_be_the_same:
            return
        for path, now in self._look().items():
            known = self._known.get(path, now)
            if known != now:
                _restore(path, known, now)

    def _look(self) -> dict[str, Inode]:
        found = dict(_entries_of_proc())
        found.update(_known(_of_the_kernel(), _inode))
        found.update(_known(DEVICES, _inode_with_history))
        found.update(_known(_files(self._trees), _inode_with_history))
        return found


def _restore(path: str, known: Inode, now: Inode) -> None:
    for name in set(now.attributes) - set(known.attributes):
        os.removexattr(path, name)
    os.chown(path, known.owner, known.group)
    Path(path).chmod(stat.S_IMODE(known.mode))
    if known.changed:
        os.utime(path, ns=(known.modified, known.modified))


def _entries_of_proc() -> Iterator[tuple[str, Inode]]:
    """And of its network's. Through a mount of its own: one that is in use goes on showing what it has seen once."""
    rootless = ("--map-root-user",) if os.geteuid() else ()
    fresh = ("unshare", *rootless, "--pid", "--fork", "--mount", "--mount-proc")
    but_processes = ("-path", "/proc/[0-9]*", "!", "-path", "/proc/1/net*", "-prune")
    find = ("find", "/proc", "/proc/1/net", "-xdev", *but_processes, "-o", "-printf", r"%p\t%m\t%U\t%G\n")
    listed = subprocess.run((*fresh, *find), capture_output=True, text=True, check=False).stdout
    assert "/proc/meminfo\t" in listed, f"nobody but a fresh mount tells what is in /proc: {listed!r}"
    for line in listed.splitlines():
        path, mode, owner, group = line.split("\t")
        yield path, Inode(int(mode, 8), int(owner), int(group))


def _of_the_kernel() -> Iterator[str]:
    for mount in mounts():
        if mount.kind in ("sysfs", "devtmpfs") or mount.kind.startswith("cgroup"):
            yield from paths_below(mount.point, _MOST_PATHS)


def _files(trees: Iterable[str | Path]) -> Iterator[str]:
    """Regular ones."""
    for tree in trees:
        for path in paths_below(str(tree), _MOST_PATHS):
            file = Path(path)
            if file.is_file() and not file.is_symlink() and not _is_others(file):
                yield path


def _is_others(file: Path) -> bool:
    """Bytecode that Python keeps adding, and what tests that run beside this one lay and take away."""
    return any(part == "__pycache__" or part.startswith("canary-") for part in file.parts)


def _known(paths: Iterable[str], look: Callable[[str], Inode]) -> Iterator[tuple[str, Inode]]:
    for path in paths:
        try:
            yield path, look(path)
        except FileNotFoundError:  # noqa: PERF203 - the group of a task that has ended, say
            continue


def _inode(path: str) -> Inode:
    known = os.lstat(path)
    return Inode(known.st_mode, known.st_uid, known.st_gid)


def _inode_with_history(path: str) -> Inode:
    known = os.lstat(path)
    attributes = tuple(sorted(os.listxattr(path)))
    return Inode(known.st_mode, known.st_uid, known.st_gid, known.st_ctime_ns, attributes, known.st_mtime_ns)

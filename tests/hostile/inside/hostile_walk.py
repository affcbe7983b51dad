"""Tries to change every inode that a sandbox sees. It runs inside of one, on nothing but Python's own library.

    python3 -c "$(cat hostile_walk.py)"

walks what is mounted, /dev, /proc and /sys with it, and prints one JSON object: how many paths were tried on each
mount, and which attempts succeeded: [file system, mount point, operation, path].

Should an inode be the host's after all, nothing is broken: the sticky bit, the group, the times and an attribute can be
put back, a file is cut to the size that it has; and where a name can be made beside it, that one is moved and removed.
"""
# What is tried are the system calls.

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GROUP = 4242
MOMENT = 86_400_000_000_000
_MOST_PATHS = {"proc": 1500, "sysfs": 1500}
_MOST_OF_FILES = 300
"""Of one mount. sysfs has tens of thousands, of a few kinds, and a root file system is all of one kind."""
_CAPABILITIES = bytes.fromhex("0000000200000000000000000000000000000000")
"""None, but as the kernel wants it written: of ``security`` attributes the one that root of a container may set."""
_NAMES = ("user.hostile", "trusted.hostile", "security.capability")
_WALKED_OF_A_PROCESS = re.compile(r"/proc/\d+(/(net|ns|attr|fd|fdinfo)(/.*)?)?")


class Mount(NamedTuple):
    point: str
    kind: str


def mounts() -> list[Mount]:
    """Those that are seen, not those that others lie over."""
    found = {}
    with open("/proc/self/mountinfo", encoding="utf-8") as lines:
        for line in lines:
            fields, _, rest = line.partition(" - ")
            point = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), fields.split()[4])
            found[point] = Mount(point, rest.split()[0])
    return list(found.values())


def paths_below(top: str, most: int) -> Iterator[str]:
    """``top`` and what is below it on the same mount, level by level, no symlink followed."""
    others = {mount.point for mount in mounts()}
    level = [top]
    while level and most > 0:
        yield from level[:most]
        most -= len(level)
        level = [path for directory in level for path in _children(directory) if path not in others]


def _children(directory: str) -> list[str]:
    if re.match(r"/proc/\d", directory) and not _WALKED_OF_A_PROCESS.fullmatch(directory):
        return []
    try:
        with os.scandir(directory) as entries:
            return [] if os.path.islink(directory) else sorted(entry.path for entry in entries)
    except OSError:  # no directory, closed to us, or gone meanwhile
        return []


class Target(NamedTuple):
    path: str
    known: os.stat_result
    beside: str
    """What names begin with that are made on the same mount."""

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.known.st_mode)


def change_mode(target: Target) -> None:
    os.chmod(target.path, stat.S_IMODE(target.known.st_mode) ^ stat.S_ISVTX)


def change_group(target: Target) -> None:
    os.chown(target.path, -1, GROUP, follow_symlinks=False)
    if os.lstat(target.path).st_gid != GROUP:
        raise OSError("it was only said that it is done")


def change_times(target: Target) -> None:
    os.utime(target.path, ns=(MOMENT, MOMENT), follow_symlinks=False)


def cut(target: Target) -> None:
    os.truncate(target.path, target.known.st_size)


def set_attribute(name: str) -> Callable[[Target], None]:
    return lambda target: os.setxattr(target.path, name, _CAPABILITIES, follow_symlinks=False)


def make_device(target: Target) -> None:
    os.mknod(target.beside + ".device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.unlink(target.beside + ".device")


def make_link(target: Target) -> None:
    os.link(target.path, target.beside + ".link", follow_symlinks=False)
    os.unlink(target.beside + ".link")


def move_and_remove(target: Target) -> None:
    """A name that can be made there; else the one that is there."""
    try:
        os.mknod(target.beside + ".pipe", stat.S_IFIFO | 0o600)
    except OSError:
        _move_or_remove(target)
        return
    os.rename(target.beside + ".pipe", target.beside + ".moved")
    os.unlink(target.beside + ".moved")


def _move_or_remove(target: Target) -> None:
    try:
        os.rename(target.path, target.beside + ".moved")
    except OSError:
        (os.rmdir if stat.S_ISDIR(target.known.st_mode) else os.unlink)(target.path)
    else:
        os.rename(target.beside + ".moved", target.path)


_FOLLOWING_LINKS: dict[str, Callable[[Target], None]] = {"chmod": change_mode, "truncate": cut}
_OPERATIONS: dict[str, Callable[[Target], None]] = {
    "chown": change_group,
    "utime": change_times,
    **{f"setxattr {name}": set_attribute(name) for name in _NAMES},
    "mknod": make_device,
    "link": make_link,
    "rename and unlink": move_and_remove,
}
_ON_DESCRIPTORS: dict[str, Callable[[int], None]] = {
    "chmod": lambda number: os.fchmod(number, stat.S_IMODE(os.fstat(number).st_mode) ^ stat.S_ISVTX),
    "chown": lambda number: os.fchown(number, -1, GROUP),
    "utime": lambda number: os.utime(number, ns=(MOMENT, MOMENT)),
    "setxattr": lambda number: os.setxattr(number, "security.capability", _CAPABILITIES),
}


def attack(path: str, mount: Mount) -> Iterator[str]:
    """The operations that succeed."""
    try:
        target = Target(path, os.lstat(path), path + "/hostile" if path == mount.point else path)
    except OSError:  # a process that has ended
        return
    operations = _OPERATIONS if target.is_link else {**_FOLLOWING_LINKS, **_OPERATIONS}
    for name, operation in operations.items():
        try:
            operation(target)
        except OSError:
            continue
        yield name


def attack_descriptors() -> None:
    """What the program was started with may be the host's, though nothing mounted is."""
    for number in (0, 1, 2):
        for operation in _ON_DESCRIPTORS.values():
            try:
                operation(number)
            except OSError:
                pass


def main() -> None:
    attack_descriptors()
    tried: Counter[str] = Counter()
    succeeded = []
    for mount in mounts():
        for path in list(paths_below(mount.point, _MOST_PATHS.get(mount.kind, _MOST_OF_FILES))):
            tried[mount.point] += 1
            succeeded += [(mount.kind, mount.point, operation, path) for operation in attack(path, mount)]
    print(json.dumps({"tried": tried, "succeeded": succeeded}))


if __name__ == "__main__":
    main()

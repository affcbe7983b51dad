"""The engine's scratch directory: upper layers and volumes. What a killed engine left is swept at the next start."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

from pytest_fargate_sandbox.local.namespaces.memory import MemoryGroup, open_memory_group

HOST_LAYERS = "host"
"""The directory within it for what stands above the host's own root."""

_PREFIX = "fargate-sandbox-"
_LOCK = "in-use.lock"
_MEMORY_GROUP = "memory-group"
# They cannot hold the upper layer of an overlay.
_UNFIT = frozenset({"overlay", "aufs", "nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "vfat", "ecryptfs", "virtiofs"})


class NoScratch(Exception):
    """No directory of this machine is fit for it; the text says which were tried."""


class Scratch:
    """A directory of this engine's own, held by a lock for as long as the process lives."""

    def __init__(self) -> None:
        base = _base_directory()
        _sweep(base)
        self.path = Path(tempfile.mkdtemp(prefix="engine-", dir=base))
        (self.path / HOST_LAYERS).mkdir()
        self._lock = _lock(self.path)

    def task_directory(self, task_id: str) -> Path:
        directory = self.path / "tasks" / task_id
        directory.mkdir(parents=True)
        return directory

    def open_memory_group(self) -> MemoryGroup | None:
        """Where this machine lets us make one; written down here for whoever sweeps after us."""
        group = open_memory_group(_PREFIX + self.path.name)
        if group is not None:
            (self.path / _MEMORY_GROUP).write_text(str(group.directory), encoding="utf-8")
        return group

    def remove(self) -> None:
        remove_scratch(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def remove_tree(directory: Path) -> None:
    """Whatever modes a task gave its directories (an overlay's own work directory has none at all)."""
    shutil.rmtree(directory, ignore_errors=True)
    if not directory.exists():
        return
    for folder, names, _ in os.walk(directory):
        for inner in (Path(folder, name) for name in names):
            if not inner.is_symlink():
                inner.chmod(stat.S_IRWXU)
    shutil.rmtree(directory, ignore_errors=True)


def remove_scratch(directory: Path) -> None:
    """All that an engine kept here, and the cgroup that it wrote down."""
    note = directory / _MEMORY_GROUP
    if note.exists():
        MemoryGroup(Path(note.read_text(encoding="utf-8"))).remove()
    remove_tree(directory)


def _base_directory() -> Path:
    places = dict.fromkeys((os.environ.get("TMPDIR", "/var/tmp"), "/var/tmp", "/tmp", "/dev/shm"))
    for place in places:
        if os.access(place, os.W_OK | os.X_OK) and _file_system_of(os.path.realpath(place)) not in _UNFIT:
            base = Path(os.path.realpath(place)) / f"{_PREFIX}{os.geteuid()}"
            if _is_ours(base):
                return base
    raise NoScratch(
        f"no directory to keep containers' files in: tried {', '.join(places)}; "
        "set TMPDIR to a directory on a local disk (ext4, xfs, btrfs or tmpfs)"
    )


def _is_ours(base: Path) -> bool:
    """Others may write where it stands: never follow what they have put there."""
    try:
        base.mkdir(mode=0o700)
    except FileExistsError:
        pass
    found = base.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _file_system_of(path: str) -> str:
    longest, kind = "", ""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split()
        point = fields[4]
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(longest):
            longest, kind = point, fields[fields.index("-", 6) + 1]
    return kind.partition(".")[0]


def _sweep(base: Path) -> None:
    for left in base.glob("engine-*"):
        lock = _lock(left)
        if lock is not None:
            remove_scratch(left)
            os.close(lock)


def _lock(directory: Path) -> int | None:
    """Held by the process that opened it; None where another holds it, or the directory is gone."""
    try:
        descriptor = os.open(directory / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor

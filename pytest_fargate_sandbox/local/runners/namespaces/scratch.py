"""The engine's scratch directory: upper layers and volumes. What a killed engine left is swept at the next start."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import TEMPORARY_PREFIX
from pytest_fargate_sandbox.leaves.process_identity import kill
from pytest_fargate_sandbox.local.runners.namespaces.control_group import ControlGroup, open_control_group, remove_group
from pytest_fargate_sandbox.local.runners.namespaces.mount_table import file_system_at
from pytest_fargate_sandbox.local.runners.namespaces.tree_removal import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST_LAYERS = "host"
"""The directory within it for what stands above the host's own root."""

LAUNCHER_NOTE = "launcher"
"""The file in which stands which process the launcher is."""

_PREFIX = TEMPORARY_PREFIX
_LOCK = "in-use.lock"
_CONTROL_GROUP = "control-group"
_LOG = logging.getLogger(__name__)
_told: set[Path] = set()
# They cannot hold the upper layer of an overlay.
_UNFIT = frozenset({"overlay", "aufs", "nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "vfat", "ecryptfs", "virtiofs"})


class NoScratch(Exception):
    """No directory of this machine is fit for it; the text says which were tried."""


class Scratch:
    """A directory of this engine's own, held by a lock for as long as the process lives."""

    def __init__(self) -> None:
        base = _base_directory()
        with room_in(base), _alone(base):  # or another's sweep could find ours before it is locked
            abandoned = _lock_abandoned(base)
            self.path = Path(tempfile.mkdtemp(prefix="engine-", dir=base))
            self._lock = _lock(self.path)
        (self.path / HOST_LAYERS).mkdir()
        for directory, lock in abandoned:
            _end_launcher(directory)
            remove_scratch(directory)
            os.close(lock)

    def task_directory(self, task_id: str) -> Path:
        directory = self.path / "tasks" / task_id
        directory.mkdir(parents=True)
        return directory

    def open_control_group(self) -> ControlGroup | None:
        """Where this machine lets us make one; written down here for whoever sweeps after us."""
        group = open_control_group(_PREFIX + self.path.name)
        if group is not None:
            lines = "".join(f"{directory}\n" for directory in group.directories)
            (self.path / _CONTROL_GROUP).write_text(lines, encoding="utf-8")
        return group

    def remove(self) -> None:
        remove_scratch(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@contextmanager
def room_in(directory: Path) -> Iterator[None]:
    """A full disk says no name of its own where something is written to a file that is open."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno,
            f"no space is left in {directory}, where the engine keeps containers' files: make some, or set TMPDIR to "
            "a directory that has it",
        ) from error


def _end_launcher(directory: Path) -> None:
    """Mostly it has ended already, and is about to do what we do; but not where somebody has stopped it."""
    with contextlib.suppress(OSError, ValueError):
        kill(json.loads((directory / LAUNCHER_NOTE).read_text(encoding="utf-8")))


def remove_scratch(directory: Path) -> None:
    """All that an engine kept here, and the cgroups that it wrote down; while one stays, a later start tries again."""
    note = directory / _CONTROL_GROUP
    groups = note.read_text(encoding="utf-8").splitlines() if note.exists() else []
    gone = [remove_group(Path(group)) for group in groups]
    if all(gone):
        remove_tree(directory)


def _base_directory() -> Path:
    places = dict.fromkeys((os.environ.get("TMPDIR", "/var/tmp"), "/var/tmp", "/tmp", "/dev/shm"))
    for place in places:
        if _is_fit(os.path.realpath(place)):
            base = Path(os.path.realpath(place)) / f"{_PREFIX}{os.geteuid()}"
            return base if _is_ours(base) else _instead_of(base)
    raise NoScratch(
        f"no directory to keep containers' files in: tried {', '.join(places)}; "
        "set TMPDIR to a directory on a local disk (ext4, xfs, btrfs or tmpfs; not noexec)"
    )


def _instead_of(base: Path) -> Path:
    """One whose name nobody could guess, and which later engines find again: whoever owns the other cannot make one."""
    prefix = f"{base.name}-"
    ours = next((found for found in sorted(base.parent.glob(f"{prefix}*")) if _is_private(found)), None)
    if ours is None:
        ours = Path(tempfile.mkdtemp(prefix=prefix, dir=base.parent))
    if base not in _told:
        _told.add(base)
        _LOG.warning(
            "%s is not a directory that only this user may write to: somebody else made it, or changed it. It is left "
            "alone, and containers' files are kept in %s.", base, ours,
        )  # fmt: skip
    return ours


def _is_ours(base: Path) -> bool:
    """Others may write where it stands: never follow what they have put there."""
    try:
        base.mkdir(mode=0o700)
    except FileExistsError:
        pass
    return _is_private(base)


def _is_private(base: Path) -> bool:
    found = base.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _is_fit(directory: str) -> bool:
    """Programs run from a container's volumes, so they must not lie where none may."""
    return (
        os.access(directory, os.W_OK | os.X_OK)
        and not _anybody_may_rename_in(directory)
        and not os.statvfs(directory).f_flag & os.ST_NOEXEC
        and file_system_at(directory).partition(".")[0] not in _UNFIT
    )


def _anybody_may_rename_in(directory: str) -> bool:
    mode = os.stat(directory).st_mode  # noqa: PTH116
    return bool(mode & stat.S_IWOTH and not mode & stat.S_ISVTX)


@contextmanager
def _alone(base: Path) -> Iterator[None]:
    descriptor = os.open(base / "start.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock_abandoned(base: Path) -> list[tuple[Path, int]]:
    """What engines have left that no longer live, each with the lock that makes it ours to remove."""
    locked = ((directory, _lock(directory)) for directory in base.glob("engine-*"))
    return [(directory, lock) for directory, lock in locked if lock is not None]


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

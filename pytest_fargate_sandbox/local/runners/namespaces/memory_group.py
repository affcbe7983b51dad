"""Hard memory limits by cgroup, where this machine lets us make one (version 1 or 2); elsewhere there are none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from pytest_fargate_sandbox.leaves.waiting import NotYet, WaitTimeout, wait_until

_MIB = 1 << 20
_CGROUPS = Path("/sys/fs/cgroup")


class MemoryGroup:
    """A cgroup of ours. Its children are limited by it as well."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def _version_2(self) -> bool:
        return (self.directory / "memory.max").exists()

    def child(self, name: str) -> MemoryGroup:
        directory = self.directory / name
        directory.mkdir()
        return MemoryGroup(directory)

    def limit(self, mebibytes: int) -> None:
        if self._version_2:
            (self.directory / "memory.max").write_text(str(mebibytes * _MIB))
            _write_if_there(self.directory / "memory.swap.max", "0")
        else:
            (self.directory / "memory.limit_in_bytes").write_text(str(mebibytes * _MIB))
            _write_if_there(self.directory / "memory.memsw.limit_in_bytes", str(mebibytes * _MIB))

    def is_accounted(self) -> bool:
        """Whether the memory controller is at work in this group."""
        return self._version_2 or (self.directory / "memory.limit_in_bytes").exists()

    def pass_on(self) -> None:
        """Version 2: let children have limits of their own."""
        if self._version_2:
            (self.directory / "cgroup.subtree_control").write_text("+memory")

    def kills(self) -> int:
        """How many processes the kernel has killed here for want of memory."""
        events = self.directory / ("memory.events" if self._version_2 else "memory.oom_control")
        try:
            counts = dict(line.split() for line in events.read_text().splitlines())
        except OSError:  # the group has gone with its task
            return 0
        return int(counts.get("oom_kill", 0))

    def remove(self) -> None:
        """With its children; the kernel may need a moment to let go of what has died."""
        for inner in self._children():
            inner.remove()
        try:
            wait_until(self._try_remove, deadline=2.0, what=f"removing the cgroup {self.directory}", first_pause=0.001)
        except WaitTimeout:
            pass  # the sweep of a later start tries again

    def _children(self) -> list[MemoryGroup]:
        try:
            return [MemoryGroup(Path(entry.path)) for entry in os.scandir(self.directory) if entry.is_dir()]
        except FileNotFoundError:
            return []

    def _try_remove(self) -> bool:
        try:
            self.directory.rmdir()
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno == errno.EBUSY:
                raise NotYet(str(error)) from error
            raise
        return True


def open_memory_group(name: str) -> MemoryGroup | None:
    """A group for this engine, in the nearest place that allows one."""
    for parent in _possible_parents():
        directory = parent / name
        try:
            directory.mkdir()
        except OSError:
            continue
        group = MemoryGroup(directory)
        if group.is_accounted():
            group.pass_on()
            return group
        directory.rmdir()
    return None


def _possible_parents() -> list[Path]:
    """Our own group under version 1. Under version 2 a group with processes has no limited children: an ancestor."""
    # https://docs.kernel.org/admin-guide/cgroup-v2.html#no-internal-process-constraint
    parents = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            parents.append(_CGROUPS / "memory" / path.lstrip("/"))
        elif not controllers:
            own = _CGROUPS / path.lstrip("/")
            parents += [place for place in (own, *own.parents) if place.is_relative_to(_CGROUPS)]
    return [place for place in parents if os.access(place, os.W_OK)]


def _write_if_there(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError:  # swap is not accounted for on this machine
        pass

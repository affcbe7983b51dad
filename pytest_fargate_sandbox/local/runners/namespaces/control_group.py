"""Hard limits by cgroup (version 1 or 2), for memory, processes and CPU: each where this machine lets us."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from pytest_fargate_sandbox.local.runners.task_limits import CPU_PERIOD_USEC, cpu_quota_usec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MIB = 1 << 20
_CGROUPS = Path("/sys/fs/cgroup")
_CONTROLLERS = ("memory", "pids", "cpu")


class ControlGroup:
    """A group of ours: a directory, or under version 1 one for each controller. Its children are limited by it too."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        """``places`` are the directories by controller."""
        self._places = dict(places)

    @property
    def directories(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(self._places.values()))

    def child(self, name: str) -> ControlGroup:
        for directory in self.directories:
            (directory / name).mkdir()
        return ControlGroup({controller: directory / name for controller, directory in self._places.items()})

    def limit_memory(self, mebibytes: int) -> None:
        limit = str(mebibytes * _MIB)
        if self._write("memory", "memory.max", limit):
            self._write("memory", "memory.swap.max", "0")
        elif self._write("memory", "memory.limit_in_bytes", limit):
            self._write("memory", "memory.memsw.limit_in_bytes", limit)

    def limit_processes(self, most: int) -> None:
        self._write("pids", "pids.max", str(most))

    def limit_cpu(self, units: int) -> None:
        quota = cpu_quota_usec(units)
        if not self._write("cpu", "cpu.max", f"{quota} {CPU_PERIOD_USEC}"):
            self._write("cpu", "cpu.cfs_period_us", str(CPU_PERIOD_USEC))
            self._write("cpu", "cpu.cfs_quota_us", str(quota))

    def lift_cpu(self) -> None:
        """For what is dying: that takes time of the CPU too, and thousands of processes much of it."""
        if not self._write("cpu", "cpu.max", "max"):
            self._write("cpu", "cpu.cfs_quota_us", "-1")

    def share_cpu(self, units: int) -> None:
        """Among its siblings, as Docker makes weights of shares (systemd and runc agree on the numbers)."""
        shares = max(2, units)
        if not self._write("cpu", "cpu.weight", str(1 + (shares - 2) * 9999 // 262142)):
            self._write("cpu", "cpu.shares", str(shares))

    def pass_on(self) -> None:
        """Version 2: let children have limits of their own."""
        for controller in self._places:
            self._write(controller, "cgroup.subtree_control", f"+{controller}")

    def kills(self) -> int:
        """How many processes the kernel has killed here for want of memory."""
        directory = self._places.get("memory")
        if directory is None:
            return 0
        for name in ("memory.events", "memory.oom_control"):
            try:
                counts = dict(line.split() for line in (directory / name).read_text().splitlines())
            except OSError:  # the other version's, or the group has gone with its task
                continue
            return int(counts.get("oom_kill", 0))
        return 0

    def remove(self) -> None:
        """With its children."""
        for directory in self.directories:
            remove_group(directory)

    def _write(self, controller: str, name: str, value: str) -> bool:
        """Whether there is such a limit on this machine."""
        directory = self._places.get(controller)
        if directory is None:
            return False
        try:
            # Not as a new file, which a cgroup refuses in other words.
            descriptor = os.open(directory / name, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            os.write(descriptor, value.encode())
        except OSError:  # a kernel without quotas, swap that is not accounted for
            return False
        finally:
            os.close(descriptor)
        return True


def remove_group(directory: Path) -> bool:
    """With its children; the kernel may need a moment to let go of what has died. Whether it is gone."""
    try:
        for inner in _children(directory):
            remove_group(inner)
        wait_until(
            lambda: _try_remove(directory), deadline=2.0, what=f"removing the cgroup {directory}", first_pause=0.001
        )
    except OSError:  # of waiting too long; or a process with fewer rights sweeps after one that had more
        return False
    return True


def _children(directory: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(directory) if entry.is_dir()]
    except FileNotFoundError:
        return []


def _try_remove(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise NotYet(str(error)) from error
        raise
    return True


def open_control_group(name: str) -> ControlGroup | None:
    """A group for this engine, in the nearest places that allow one; None where none does."""
    places: dict[str, Path] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers:
            places |= _open_version_1(name, controllers.split(","), path)
        else:
            places |= _open_version_2(name, _CGROUPS / path.lstrip("/"))
    group = ControlGroup(places) if places else None
    if group is not None:
        group.pass_on()
    return group


def _open_version_1(name: str, controllers: Iterable[str], path: str) -> dict[str, Path]:
    places = {}
    for controller in controllers:
        directory = _CGROUPS / controller / path.lstrip("/") / name
        if controller in _CONTROLLERS and _make(directory):
            places[controller] = directory
    return places


def _open_version_2(name: str, own: Path) -> dict[str, Path]:
    """A group with processes has no limited children: so an ancestor's child, the first that memory is limited in."""
    for wanted in _CONTROLLERS:
        for parent in (own, *own.parents):
            directory = parent / name
            if not parent.is_relative_to(_CGROUPS) or not _make(directory):
                continue
            controllers = _controllers_of(directory)
            if wanted in controllers:
                return {controller: directory for controller in _CONTROLLERS if controller in controllers}
            directory.rmdir()
    return {}


def _controllers_of(directory: Path) -> list[str]:
    try:
        return (directory / "cgroup.controllers").read_text().split()
    except OSError:
        return []


def _make(directory: Path) -> bool:
    try:
        directory.mkdir()
    except OSError:
        return False
    return True

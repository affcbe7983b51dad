"""A container's root: an overlay of its image's directories, entered with ``pivot_root``, and what Docker mounts in it.

What comes from the host is copied as detached mounts while the host's root is still ours, and attached when the root is
the container's already: an image with a symlink in an unlucky place can lead us nowhere else.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.namespaces import linux
from pytest_fargate_sandbox.local.runners.namespaces.container_layers import copy_binds, mount_overlay
from pytest_fargate_sandbox.local.shared_proc import private_entries, shared_entries

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_fargate_sandbox.local.runners.namespaces.container_plan import ContainerPlan

# Bound read-only: their inodes are the host's, and root of a container could chmod them. Data passes all the same,
# since to open a special file for writing asks nothing of its mount (do_dentry_open in fs/open.c). No mknod instead: a
# user namespace may not, and this is one way for all.
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
# Docker's list of what of /proc and /sys speaks of the host.
_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/proc/interrupts", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
_TTY_GROUP = 5
_HARDENED = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC


def enter_root(plan: ContainerPlan) -> None:
    """In fresh mount, PID and UTS namespaces: afterwards ``/`` is the container's, and nothing of the host is left."""
    linux.mount("", "/", linux.MS_REC | linux.MS_PRIVATE)
    root = plan.directory + "/root"
    if plan.sidecar_volume:
        linux.mount("tmpfs", root, linux.MS_NOSUID | linux.MS_NODEV, "mode=755,size=1m")
    else:
        mount_overlay(plan, root)
    hosts = linux.copy_mount(plan.hosts_file, linux.ATTR_NODEV | linux.ATTR_NOSUID)
    copies = copy_binds(plan)
    copies += [(f"/dev/{device}", linux.copy_mount(f"/dev/{device}", linux.ATTR_RDONLY)) for device in _DEVICES]
    copies += [(_place_of_group(group), linux.copy_mount(group, linux.ATTR_RDONLY)) for group in plan.cgroups]
    host = os.open("/", os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
    os.chdir(root)
    linux.pivot_root(".", ".")
    # "/" is the new root from here on, with the host's mounted over it until it is detached.
    _mount_kernel_file_systems(rootless=plan.rootless)
    covers = {bind.target for bind in plan.binds if bind.is_cover}
    for target, copy in copies:
        if target in covers and not os.path.lexists(target):
            os.close(copy)
        else:
            _attach(copy, target)
    _hide_and_protect()
    _write_network_files(plan)
    linux.attach_mount(hosts, "/etc/hosts")
    if not os.path.lexists("/tmp"):
        os.mkdir("/tmp")  # noqa: PTH102
        os.chmod("/tmp", 0o1777)  # noqa: PTH101
    if plan.read_only_root:
        linux.set_mount_attributes("/", linux.ATTR_RDONLY, recursive=False)
    os.fchdir(host)
    linux.detach(".")
    os.close(host)
    os.chdir("/")


def _place_of_group(group: str) -> str:
    """Where a container finds its own, to read there its limits and who was killed for memory: as on a host."""
    if os.path.exists(group + "/cgroup.controllers"):  # noqa: PTH110 - version 2
        return "/sys/fs/cgroup"
    return "/".join(group.split("/")[:5])


def _mount_kernel_file_systems(*, rootless: bool) -> None:
    for path in ("/proc", "/sys", "/dev"):
        _make_directory(path)
    linux.mount("proc", "/proc", _HARDENED)
    try:
        linux.mount("sysfs", "/sys", _HARDENED | linux.MS_RDONLY)
    except PermissionError:  # the host shows only a part of its own: then the container sees none
        pass
    if os.path.isdir("/sys/fs/cgroup"):  # noqa: PTH112
        linux.mount("tmpfs", "/sys/fs/cgroup", _HARDENED, "mode=755,size=4k")
    linux.mount("tmpfs", "/dev", linux.MS_NOSUID, "mode=755,size=64k")
    os.mkdir("/dev/pts")  # noqa: PTH102
    os.mkdir("/dev/shm")  # noqa: PTH102
    group = "" if rootless else f",gid={_TTY_GROUP}"
    linux.mount("devpts", "/dev/pts", linux.MS_NOSUID | linux.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620" + group)
    linux.mount("tmpfs", "/dev/shm", _HARDENED, "mode=1777,size=64m")
    for link, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/dev/{link}")  # noqa: PTH211


def _attach(copy: int, target: str) -> None:
    if stat.S_ISDIR(os.fstat(copy).st_mode):
        _make_directory(target)
    else:
        _make_directory(os.path.dirname(target))  # noqa: PTH120
        if not os.path.lexists(target):
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    linux.attach_mount(copy, target)


def _make_directory(path: str) -> None:
    if not os.path.isdir(path):  # noqa: PTH112
        os.makedirs(path, 0o755, exist_ok=True)  # noqa: PTH103


def _hide_and_protect() -> None:
    for path in shared_entries():
        linux.attach_mount(linux.copy_mount(path, linux.ATTR_RDONLY), path)
    for path in dict.fromkeys((*_existing(_MASKED), *private_entries())):
        if os.path.isdir(path):  # noqa: PTH112
            linux.mount("tmpfs", path, _HARDENED | linux.MS_RDONLY, "size=0,nr_inodes=2")
        else:
            linux.attach_mount(linux.copy_mount("/dev/null", linux.ATTR_RDONLY), path)


def _existing(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if os.path.lexists(path)]


def _write_network_files(plan: ContainerPlan) -> None:
    """Names resolve from the task's own file, which comes to lie over the empty one, or by the resolver, if any."""
    _make_directory("/etc")
    _write_file("/etc/hosts", "")
    _write_file("/etc/hostname", plan.host_name + "\n")
    _write_file("/etc/resolv.conf", plan.resolver)


def _write_file(path: str, text: str) -> None:
    """In place of whatever is there, be it a symlink."""
    if os.path.lexists(path):
        os.unlink(path)  # noqa: PTH108
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    os.write(descriptor, text.encode())
    os.close(descriptor)

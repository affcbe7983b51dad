"""What all slots share runs short: disk, inodes, memory. Then the tenant who has the most of it loses his slot.

While slots are leased it is looked a few times a second, which costs a few system calls; who has how much is found out
only when there is little left. What fills faster than that is filled: then who wants more gets the kernel's own error.
"""

import collections
import os
import re
import stat
import sys
import threading
import time

from pytest_fargate_sandbox.server.slots.owned_processes import processes_of
from pytest_fargate_sandbox.server.slots.shared_places import mounts_of
from pytest_fargate_sandbox.server.thread_rights import as_owner_of_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Iterator

    from pytest_fargate_sandbox.server.slots.shared_places import SharedPlaces
    from pytest_fargate_sandbox.server.slots.user_ground import UserGround

_LOOK_SEC = 0.05
_RESERVE = 20
"""There is little left when it is less than this part of the whole, and less than the most of it."""
_MOST_RESERVE = {"bytes": 256 << 20, "inodes": 10000, "memory": 128 << 20}

_CGROUP = "/sys/fs/cgroup/"
_BLOCK = 512
_MAPPED_WITHOUT_A_NAME = re.compile(rb" /(?!memfd:|dev/zero|SYSV)[^\n]* \(deleted\)$", re.MULTILINE)
_MEMORY = -1
"""In place of a device's number."""


class _Holdings:
    """What one tenant has, by kind and device; ``hides`` if he keeps from us what files his processes have open."""

    def __init__(self, ground: "UserGround", places: "list[bytes]", in_memory: "set[int]") -> None:
        self.amounts: "collections.Counter[tuple[str, int]]" = collections.Counter()
        self.hides = False
        self._in_memory = in_memory
        self._seen: "set[tuple[int, int]]" = set()
        for top in (ground.gate, *places):
            self._add_tree(top, ground.uid, is_his=top == ground.gate)
        for pid in processes_of(ground.uid):
            self._add_process(pid, ground.uid)

    def _add_tree(self, top: bytes, uid: int, is_his: bool) -> None:
        pending = [(top, is_his)]
        while pending:
            directory, is_his = pending.pop()
            try:
                device = os.lstat(directory).st_dev  # an overlay's files say other numbers than its directories
                with os.scandir(directory) as entries:
                    for entry in entries:
                        status = entry.stat(follow_symlinks=False)
                        if status.st_uid == uid:
                            self._add(status, device)
                        if stat.S_ISDIR(status.st_mode) and (is_his or status.st_uid == uid):
                            pending.append((entry.path, True))
            except FileNotFoundError:
                continue
            except OSError:  # deeper than a path is long
                self.hides = True

    def _add(self, status: os.stat_result, device: int) -> None:
        if (device, status.st_ino) not in self._seen:
            self._seen.add((device, status.st_ino))
            self.amounts["bytes", device] += status.st_blocks * _BLOCK
            self.amounts["inodes", device] += 1
            if device in self._in_memory:
                self.amounts["memory", _MEMORY] += status.st_blocks * _BLOCK

    def _add_process(self, pid: int, uid: int) -> None:
        try:
            with open("/proc/%d/status" % pid) as file:
                for name, _, value in (line.partition(":") for line in file):
                    if name in ("RssAnon", "RssShmem"):
                        self.amounts["memory", _MEMORY] += int(value.split()[0]) * 1024
            with as_owner_of_files(uid, uid):
                for name in os.listdir("/proc/%d/fd" % pid):
                    path = "/proc/%d/fd/%s" % (pid, name)
                    status = os.stat(path)
                    if status.st_nlink == 0 and stat.S_ISREG(status.st_mode):
                        self._add(status, _device_of(os.readlink(path)))
                with open("/proc/%d/maps" % pid, "rb") as file:
                    self.hides = self.hides or bool(_MAPPED_WITHOUT_A_NAME.search(file.read()))
        except PermissionError:
            self.hides = True
        except OSError:
            pass  # it has ended, or that file was closed


def _device_of(path: str) -> int:
    """Of a file that has no name any more."""
    if path.startswith("/memfd:"):
        return _MEMORY
    while True:
        path = os.path.dirname(path)
        try:
            return os.lstat(path).st_dev
        except FileNotFoundError:
            continue


class Watch:
    def __init__(self, places: "SharedPlaces", root: bytes, tenants: "Callable[[], dict[str, UserGround]]",
                 evict: "Callable[[str, str], None]") -> None:  # fmt: skip
        """``tenants`` are those who have a lease, by it; ``evict`` takes one from him, and cleans his slot."""
        self._places = places
        self._root = root
        self._tenants = tenants
        self._evict = evict
        self._is_wanted = threading.Event()
        self._at_first: "dict[tuple[str, int], int]" = {}
        self._thread: "threading.Thread | None" = None

    def want(self, is_wanted: bool) -> None:
        """Whether there are leases."""
        if not is_wanted:
            self._is_wanted.clear()
            return
        self._is_wanted.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="shortage", daemon=True)
            self._thread.start()

    def _watch(self) -> None:
        places = self._places.all()
        devices = {os.lstat(place).st_dev: place for place in (*places, self._root) if os.path.isdir(place)}
        while True:
            self._is_wanted.wait()
            try:
                for key, free, whole, where in _stocks(devices):
                    self._at_first.setdefault(key, whole - free)
                    reserve = min(whole // _RESERVE, _MOST_RESERVE[key[0]])
                    if free < reserve:
                        self._relieve(key, whole - free, whole, where, reserve)
            except Exception as error:  # whatever it was, the watch goes on
                sys.stderr.write("fargate-sandbox: looking for what runs short failed: %s\n" % error)
                time.sleep(1)
            time.sleep(_LOOK_SEC)

    def _relieve(self, key: "tuple[str, int]", used: int, whole: int, where: str, reserve: int) -> None:
        """End who has the most of it; or, if that explains little of what is gone, who hides what he has."""
        places = self._places.all()
        in_memory = {os.lstat(place).st_dev for place in mounts_of((b"tmpfs",)) if os.path.isdir(place)} | {_MEMORY}
        holdings = {lease: _Holdings(ground, places, in_memory) for lease, ground in self._tenants().items()}
        if not holdings:
            return
        most = max(holdings, key=lambda lease: holdings[lease].amounts[key])
        amount = holdings[most].amounts[key]
        hidden = used - self._at_first[key] - sum(each.amounts[key] for each in holdings.values())
        if hidden > max(amount, reserve):
            most = max(holdings, key=lambda lease: (holdings[lease].hides, holdings[lease].amounts[key]))
            amount = hidden if holdings[most].hides else 0  # else it is no tenant's
        if amount >= reserve:
            told = "%d of %d inodes" if key[0] == "inodes" else "%d of %d MiB"
            unit = 1 if key[0] == "inodes" else 1 << 20
            self._evict(
                most, "it took %s %s, which ran short for all" % (told % (amount // unit, whole // unit), where)
            )


def _stocks(devices: "dict[int, bytes]") -> "Iterator[tuple[tuple[str, int], int, int, str]]":
    """What there is of each that is shared: free, and on the whole."""
    for device, place in devices.items():
        disk = os.statvfs(place)
        where = "of the disk at " + os.fsdecode(place)
        yield ("bytes", device), disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize, where
        if disk.f_files:
            yield ("inodes", device), disk.f_favail, disk.f_files, where
    free, whole = _memory()
    yield ("memory", _MEMORY), free, whole, "of memory"


def _memory() -> "tuple[int, int]":
    """Free, and on the whole, as far as limits can be seen from within; what the kernel only caches is free."""
    of_machine = _table("/proc/meminfo")
    free, whole = of_machine["MemAvailable:"] * 1024, of_machine["MemTotal:"] * 1024
    for limit, usage, stat_file, total in (
        ("memory.max", "memory.current", "memory.stat", ""),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_"),
    ):
        try:
            word = _read(_CGROUP + limit).strip()
            counts = _table(_CGROUP + stat_file)
            cached = sum(counts.get(total + kind, 0) for kind in ("inactive_file", "active_file"))
            used = int(_read(_CGROUP + usage)) - cached
        except OSError:
            continue
        # Fargate's limit is the task's, which the first version of cgroups tells its containers.
        most = min(int(word) if word.isdigit() else whole, counts.get("hierarchical_memory_limit", whole), whole)
        return min(free, most - used), most
    return free, whole


def _table(path: str) -> "dict[str, int]":
    return {words[0]: int(words[1]) for words in map(str.split, _read(path).splitlines()) if len(words) > 1}


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()

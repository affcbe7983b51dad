"""Did the kernel kill for memory? Only the cgroup knows; an exit code of 137 alone may have been anybody."""

import os
import re

_MOUNT = "/sys/fs/cgroup"
_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)
_LIMIT = re.compile(rb"^hierarchical_memory_limit (\d+)$", re.MULTILINE)
_NO_LIMIT = 1 << 60
"""Version 1 has a number for none: the largest that fits, in whole pages."""


class OomCounter:
    """How many processes of this container were killed for memory so far."""

    def __init__(self, mount: str = _MOUNT) -> None:
        self._mount = mount
        self._file: "int | None" = None
        self._directory = ""
        for path in _candidates(mount):
            try:
                self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            if _COUNT.search(os.pread(self._file, 4096, 0)):
                self._directory = os.path.dirname(path)
                return
            os.close(self._file)
            self._file = None

    def read(self) -> int:
        if self._file is None:
            return 0
        try:
            match = _COUNT.search(os.pread(self._file, 4096, 0))
        except OSError:
            return 0
        return int(match.group(1)) if match else 0

    def limit(self) -> int:
        """In bytes, the least that is seen here and above; 0 if there is none to be seen."""
        found = _LIMIT.search(_contents(self._directory + "/memory.stat"))  # version 1, which has looked above
        limits = [int(found.group(1))] if found else []
        directory = self._directory
        while directory.startswith(self._mount) and not found:
            said = _contents(directory + "/memory.max").strip()
            limits += [int(said)] if said.isdigit() else []
            directory = os.path.dirname(directory)
        return min([each for each in limits if each < _NO_LIMIT], default=0)


def _contents(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _candidates(mount: str) -> "list[str]":
    """Where the counter may be, of cgroup v2 and v1: below our own cgroup's name if that is seen, else at the top."""
    paths = []
    try:
        with open("/proc/self/cgroup") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        lines = []
    for _, controllers, group in [line for line in lines if len(line) == 3]:
        if controllers == "":
            paths.append(mount + group + "/memory.events")
        elif "memory" in controllers.split(","):
            paths.append(mount + "/memory" + group + "/memory.oom_control")
    return [*paths, mount + "/memory.events", mount + "/memory/memory.oom_control"]

"""Did the kernel kill for memory? Only the cgroup knows; an exit code of 137 alone may have been anybody."""

import os
import re

_MOUNT = "/sys/fs/cgroup"
_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)


class OomCounter:
    """How many processes of this container were killed for memory so far."""

    def __init__(self) -> None:
        self._file: "int | None" = None
        for path in _candidates():
            try:
                self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            if _COUNT.search(os.pread(self._file, 4096, 0)):
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


def _candidates() -> "list[str]":
    """Where the counter may be, of cgroup v2 and v1: below our own cgroup's name if that is seen, else at the top."""
    paths = []
    try:
        with open("/proc/self/cgroup") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        lines = []
    for _, controllers, group in [line for line in lines if len(line) == 3]:
        if controllers == "":
            paths.append(_MOUNT + group + "/memory.events")
        elif "memory" in controllers.split(","):
            paths.append(_MOUNT + "/memory" + group + "/memory.oom_control")
    return [*paths, _MOUNT + "/memory.events", _MOUNT + "/memory/memory.oom_control"]

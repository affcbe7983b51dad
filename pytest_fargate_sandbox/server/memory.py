"""Did the kernel kill for memory? Only the cgroup knows; an exit code of 137 alone may have been anybody."""

import os
import re

_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""cgroup v2 and v1, as they look from inside a container."""

_COUNT = re.compile(rb"^oom_kill (\d+)$", re.MULTILINE)


class OomCounter:
    """How many processes of this container were killed for memory so far."""

    def __init__(self) -> None:
        self._file: "int | None" = None
        for path in _COUNTERS:
            try:
                self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                break
            except OSError:
                continue

    def read(self) -> int:
        if self._file is None:
            return 0
        try:
            match = _COUNT.search(os.pread(self._file, 4096, 0))
        except OSError:
            return 0
        return int(match.group(1)) if match else 0

"""Whether the kernel killed something of a container for memory, on hosts with version 1 of cgroups.

There the command lines mostly miss it: when the container's own program was the victim, its cgroup is gone before they
look. An eventfd keeps the count for us. With version 2 they get it right, and this sees nothing.
"""

from __future__ import annotations

import os
from pathlib import Path

_MEMORY = Path("/sys/fs/cgroup/memory")


class OomWatch:
    """Watches the memory cgroup that ``pid`` is in, if there is one that may be watched."""

    def __init__(self, pid: int) -> None:
        self._cgroup = _memory_cgroup(pid)
        self._event = -1
        if self._cgroup is not None:
            self._register(self._cgroup)

    def saw_a_kill(self) -> bool:
        """Called once, when the container has ended."""
        if self._event < 0 or self._cgroup is None:
            return False
        try:
            count = os.eventfd_read(self._event)
        except BlockingIOError:
            count = 0
        finally:
            os.close(self._event)
            self._event = -1
        # The cgroup's own removal counts as one event.
        return count > (0 if self._cgroup.is_dir() else 1)

    def _register(self, cgroup: Path) -> None:
        event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            with (cgroup / "memory.oom_control").open() as control:
                (cgroup / "cgroup.event_control").write_text(f"{event} {control.fileno()}")
        except OSError:  # no right to watch (rootless), or the container was quicker
            os.close(event)
        else:
            self._event = event


def _memory_cgroup(pid: int) -> Path | None:
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _MEMORY / path.lstrip("/")
    return None

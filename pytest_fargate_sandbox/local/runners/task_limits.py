"""What a task may take of this machine besides its memory, the same for all runners.

Fargate tells no number of processes: a task has a kernel of its own there, whose 32,768 are all the task's. Here tasks
share the machine's, often no more than those, with its user; so a task may have what a pod of OpenShift may, twice what
podman gives a container, and a machine with few gives a task an eighth of them.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final

_PROCESSES: Final = 4096
_PART_OF_A_SMALL_MACHINE: Final = 8
_PART_OF_THE_OTHERS: Final = 16
CPU_PERIOD_USEC: Final = 100_000
"""The kernel's own, and Docker's: in each of these a task may run for its part of it."""
_SHORTEST_QUOTA_USEC: Final = 1000
_UNITS_OF_A_CPU: Final = 1024


@functools.cache
def most_processes() -> int:
    """Of one task, threads included: where there is a cgroup for it by that, else by RLIMIT_NPROC."""
    most = min(int(Path("/proc/sys/kernel", name).read_text()) for name in ("pid_max", "threads-max"))
    return min(_PROCESSES, most // _PART_OF_A_SMALL_MACHINE)


def most_of_a_container() -> int:
    """Where there is a cgroup for it: what bursts in one container leaves some to the others, as the way in is one."""
    return most_processes() - most_processes() // _PART_OF_THE_OTHERS


def cpu_quota_usec(units: int) -> int:
    """Of each period, over all CPUs together."""
    return max(_SHORTEST_QUOTA_USEC, units * CPU_PERIOD_USEC // _UNITS_OF_A_CPU)

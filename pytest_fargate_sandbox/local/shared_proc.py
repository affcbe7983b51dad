"""What of /proc is the same in every mount of it, and so must be read-only in a container, or not be there.

Only the directories of processes belong to a mount. A chmod or chown of any other entry changes the kernel's one record
of it, which the host sees too (proc_notify_change in fs/proc/generic.c); that record is root's, so root of a container
needs no capability for it. runc's and Docker's readonlyPaths are only bus, fs, irq, sys and sysrq-trigger.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def shared_entries() -> list[str]:
    """The paths of those that are there now. Links stay out: the kernel's record of one cannot be changed."""
    with os.scandir("/proc") as entries:
        return [entry.path for entry in entries if not entry.name.isdecimal() and not entry.is_symlink()]


def private_entries() -> list[str]:
    """Those that nobody but root may read: the kernel's page tables, its memory's records. No task needs to."""
    return [path for path in (*shared_entries(), "/proc/tty/driver") if _is_private(path)]


def _is_private(path: str) -> bool:
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IRUSR and not mode & stat.S_IROTH)

"""What of /proc is the same in every mount of it, and so must be read-only in a container.

Only the directories of processes belong to a mount. A chmod or chown of any other entry changes the kernel's one record
of it, which the host sees too (proc_notify_change in fs/proc/generic.c); that record is root's, so root of a container
needs no capability for it. runc's and Docker's readonlyPaths are only bus, fs, irq, sys and sysrq-trigger.
"""

from __future__ import annotations

import os


def shared_entries() -> list[str]:
    """The paths of those that are there now. Links stay out: the kernel's record of one cannot be changed."""
    with os.scandir("/proc") as entries:
        return [entry.path for entry in entries if not entry.name.isdecimal() and not entry.is_symlink()]

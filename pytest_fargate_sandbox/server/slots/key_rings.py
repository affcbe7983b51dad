"""The kernel's key rings, which a tenant fills where no filter keeps him from it, and which outlive his processes.

Docker's, Fargate's and podman's do. https://man7.org/linux/man-pages/man7/keyrings.7.html
"""

import errno

from pytest_fargate_sandbox.server.thread_rights import as_owner_of_processes, keyctl

# https://github.com/torvalds/linux/blob/v6.1/include/uapi/linux/keyctl.h
_SETPERM, _CLEAR, _LINK, _READ = 5, 7, 8, 11
_ALL_RIGHTS = 0x3F3F0000
_USERS, _FOR_SESSIONS = -4, -5
"""The user's, and that for sessions without one of their own, in which the first is linked."""


def clear(uid: int) -> "list[int]":
    """Empty the rings of a user who has no process; those that are not. Such a ring may be closed to its owner."""
    left = []
    with as_owner_of_processes(uid, uid):
        for ring in (_USERS, _FOR_SESSIONS):
            keyctl(_SETPERM, ring, _ALL_RIGHTS)
            keyctl(_CLEAR, ring)
            answer = keyctl(_READ, ring)
            if answer != 0 and -answer not in (errno.EPERM, errno.ENOSYS):
                left.append(ring)
        keyctl(_LINK, _USERS, _FOR_SESSIONS)
    return left

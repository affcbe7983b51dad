"""What a container's process may not do: Docker's default capabilities, less MKNOD, and a filter of system calls.

``no_new_privs`` stays off, so that sudo and su work as on Fargate; the bounding set caps what they can give.
"""

from __future__ import annotations

from pytest_fargate_sandbox.local.runners.namespaces import linux
from pytest_fargate_sandbox.local.runners.namespaces.system_calls import FILTER, FILTER_OF_A_SINGLE_USER

# https://github.com/moby/moby/blob/v28.3.3/oci/caps/defaults.go
_KEPT_CAPABILITIES = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "NET_RAW": 13,
    "SYS_CHROOT": 18,
    "AUDIT_WRITE": 29,
    "SETFCAP": 31,
}
_KEPT_MASK = sum(1 << number for number in _KEPT_CAPABILITIES.values())
_RAW = 1 << _KEPT_CAPABILITIES["NET_RAW"]


def give_up_privileges(*, rootless: bool, raw_sockets: bool) -> None:
    """The filter first, since installing it takes a capability."""
    linux.install_filter(FILTER_OF_A_SINGLE_USER if rootless else FILTER)
    linux.drop_capabilities(_KEPT_MASK if raw_sockets else _KEPT_MASK & ~_RAW)

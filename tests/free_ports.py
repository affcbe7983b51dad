"""Ports of this machine's that stay free until whoever asks for one listens there, or tries that nobody does.

What the kernel gives to whoever binds to port 0, or connects, lies in a range of its own; and each worker has others.
"""

from __future__ import annotations

import os
import random
import socket
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIRST, _LAST = 10_000, 32_767
_FIXED = {19_542}
"""What sandboxes of these tests listen at."""
_SHARES = 16
"""As many as there are workers at most."""


def free_port() -> int:
    for port in _ports():
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise AssertionError("the ports have no end")


@cache
def _ports() -> Iterator[int]:
    """Those of this worker, again and again, from anywhere on: another run may have workers of the same names."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").lstrip("gw")) % _SHARES
    mine = [port for port in range(_FIRST, _last() + 1) if port % _SHARES == worker and port not in _FIXED]
    begin = random.SystemRandom().randrange(len(mine))
    return cycle(mine[begin:] + mine[:begin])


def _last() -> int:
    try:
        given_out = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):  # not Linux
        return _LAST
    return given_out - 1 if given_out > _FIRST + 1000 else _LAST

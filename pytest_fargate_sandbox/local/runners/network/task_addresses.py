"""Addresses for tasks: 127.a.b.c of the host's own loopback, each held by one task of one engine on the machine."""

from __future__ import annotations

import random
import socket

# A bound UDP socket is the claim: it excludes every other engine, takes no TCP port of the task's, and goes with us.
_CLAIM_PORT = 49419
_ATTEMPTS = 1000


class NoAddress(Exception):
    """No free loopback address was found."""


class ClaimedAddress:
    """An address that is this task's until it is released."""

    def __init__(self) -> None:
        self._claim, self.text = _claim()

    def listen(self, port: int) -> socket.socket:
        """A socket that listens at this address, in the namespace of whoever calls."""
        return socket.create_server((self.text, port), backlog=512)

    def release(self) -> None:
        self._claim.close()


def _claim() -> tuple[socket.socket, str]:
    random_source = random.SystemRandom()
    for _ in range(_ATTEMPTS):
        # 64 to 126: clear of 127.0.0.x and 127.0.1.1, which hosts and resolvers use.
        address = ".".join(
            str(part) for part in (127, random_source.randint(64, 126), random_source.randint(0, 255),
                                   random_source.randint(1, 254))
        )  # fmt: skip
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind((address, _CLAIM_PORT))
        except OSError:
            claim.close()
            continue
        return claim, address
    raise NoAddress(f"no free address in 127.64.0.0 to 127.126.255.254 (tried {_ATTEMPTS}, each on UDP {_CLAIM_PORT})")

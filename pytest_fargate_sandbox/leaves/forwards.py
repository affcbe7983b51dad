"""A port that is opened at one end of a tunnel, and where its connections lead at the other."""

from __future__ import annotations

import re
from typing import NamedTuple

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.sockets import LOOPBACK, Listener


class Forward(NamedTuple):
    """``"[ADDRESS:]PORT:HOST:PORT"``: a port that is opened, and where its connections lead."""

    listener: Listener
    host: str
    host_port: int

    @classmethod
    def parse(cls, spec: str, kind: str, lowest_port: int = 0) -> Forward:
        match = _SPEC.fullmatch(spec)
        if match and _is_port(match["port"], lowest_port) and _is_port(match["host_port"], 1):
            listener = Listener(match["address"] or LOOPBACK, int(match["port"]))
            return cls(listener, match["host"], int(match["host_port"]))
        raise ConfigError(
            f'{kind}={spec!r}: expected "PORT:HOST:PORT", such as "8080:127.0.0.1:80"; before it, "127.0.0.2:" opens '
            "the port at another loopback address",
            key=kind,
            value=spec,
            allowed="PORT:HOST:PORT",
        )


_SPEC = re.compile(r"((?P<address>127(\.\d{1,3}){3}):)?(?P<port>\d+):(?P<host>.+):(?P<host_port>\d+)", re.ASCII)


def _is_port(text: str, lowest: int) -> bool:
    return len(text) <= 5 and lowest <= int(text) <= 65535

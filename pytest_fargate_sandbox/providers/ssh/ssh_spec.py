"""What a tunnel is told when it is made: its forwards as text, its key in any of several forms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.sockets import LOOPBACK, Listener
from pytest_fargate_sandbox.providers.ssh.key_pairs import KeyPair, parse_key_pair
from pytest_fargate_sandbox.providers.ssh.ssh_connection import usable_key

if TYPE_CHECKING:
    import paramiko


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


def private_key_of(key_file: str | Path | None, private_key: KeyPair | str | paramiko.PKey | None) -> paramiko.PKey:
    if private_key is None:
        if key_file is None:
            raise ConfigError("SshTunnel needs key_file or private_key", key="key_file", allowed="a private key")
        try:
            private_key = Path(key_file).expanduser().read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"key_file={str(key_file)!r}: {error}",
                key="key_file",
                value=str(key_file),
                allowed="a private key file",
            ) from error
    if isinstance(private_key, str):
        private_key = parse_key_pair(private_key)
    if isinstance(private_key, KeyPair):
        return usable_key(private_key)
    return private_key

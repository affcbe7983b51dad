"""What a tunnel is told when it is made: its forwards as text, its key in any of several forms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.providers.ssh.key_pairs import KeyPair, parse_key_pair
from pytest_fargate_sandbox.providers.ssh.ssh_connection import usable_key

if TYPE_CHECKING:
    import paramiko


class Forward(NamedTuple):
    """``"PORT:HOST:PORT"``: a port that is opened, and where its connections lead."""

    port: int
    host: str
    host_port: int

    @classmethod
    def parse(cls, spec: str, kind: str, lowest_port: int = 0) -> Forward:
        port, _, target = spec.partition(":")
        host, _, host_port = target.rpartition(":")
        if host and _is_port(port, lowest_port) and _is_port(host_port, 1):
            return cls(int(port), host, int(host_port))
        raise ConfigError(
            f'{kind}={spec!r}: expected "PORT:HOST:PORT", such as "8080:127.0.0.1:80"',
            key=kind,
            value=spec,
            allowed="PORT:HOST:PORT",
        )


def _is_port(text: str, lowest: int) -> bool:
    return text.isdecimal() and lowest <= int(text) <= 65535


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

"""What a tunnel is told when it is made: its key, in any of several forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.call_arguments import local_path
from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.providers.ssh.key_pairs import KeyPair, parse_key_pair
from pytest_fargate_sandbox.providers.ssh.ssh_connection import usable_key

if TYPE_CHECKING:
    from pathlib import Path

    import paramiko


def private_key_of(key_file: str | Path | None, private_key: KeyPair | str | paramiko.PKey | None) -> paramiko.PKey:
    if private_key is None:
        if key_file is None:
            raise ConfigError("SshTunnel needs key_file or private_key", key="key_file", allowed="a private key")
        key_file = local_path("key_file", key_file)
        try:
            private_key = parse_key_pair(key_file.expanduser().read_text(), f"key_file={str(key_file)!r}")
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

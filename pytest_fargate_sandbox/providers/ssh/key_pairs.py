"""Key pairs: made here for each session, in OpenSSH's own text form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pytest_fargate_sandbox.leaves.errors import ConfigError


@dataclass(frozen=True)
class KeyPair:
    """A private key as OpenSSH text and its public key as one line. ``repr`` never shows the private half."""

    private: str = field(repr=False)
    public: str


def derived_key_pair(secret: bytes) -> KeyPair:
    """The pair of 32 secret bytes: always the same one."""
    return _pair_of(Ed25519PrivateKey.from_private_bytes(secret))


def parse_key_pair(text: str, source: str = "private_key") -> KeyPair:
    """The pair of a private key from elsewhere, such as a secret: OpenSSH or PEM text, without a passphrase."""
    encoded = text.strip().encode() + b"\n"
    try:
        if b"OPENSSH PRIVATE KEY" in encoded:
            key: Any = serialization.load_ssh_private_key(encoded, password=None)
        else:
            key = serialization.load_pem_private_key(encoded, password=None)
        return _pair_of(key)
    except (ValueError, TypeError, AttributeError) as error:  # TypeError: it wants a passphrase
        raise ConfigError(
            f"{source}: not a usable SSH private key: {error}; it has to be OpenSSH or PEM text without a passphrase",
            key="private_key",
            allowed="an OpenSSH or PEM private key without a passphrase",
        ) from error


def _pair_of(key: Any) -> KeyPair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private=private.decode(), public=public.decode())

"""The credentials an engine issues for itself. They open nothing outside of it."""

from __future__ import annotations

import secrets
import string
from dataclasses import dataclass, field

REGION = "us-east-1"
ACCOUNT_ID = "123456789012"

_KEY_ID_ALPHABET = string.ascii_uppercase + string.digits


def random_key_id(kind: str) -> str:
    """``AKIA…`` for a key that lasts, ``ASIA…`` for one of a session."""
    return kind + "".join(secrets.choice(_KEY_ID_ALPHABET) for _ in range(16))


@dataclass(frozen=True)
class EngineCredentials:
    """One pair, random for each engine: a URL signed for one engine opens nothing at another."""

    access_key_id: str = field(default_factory=lambda: random_key_id("AKIA"))
    secret_access_key: str = field(default_factory=lambda: secrets.token_urlsafe(30), repr=False)

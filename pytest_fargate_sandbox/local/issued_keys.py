"""The keys that open this engine: the pair it printed, and those that its own IAM and STS have handed out."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.engine_credentials import random_key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.local.engine_credentials import EngineCredentials


@dataclass(frozen=True)
class Key:
    """What the holder of an access key signs with. ``token`` goes with every request, where there is one."""

    secret: str
    token: str = ""
    expires_at: float | None = None


class IssuedKeys:
    """From the id that a request names to the key that must have signed it; from any thread."""

    def __init__(self, own: EngineCredentials) -> None:
        self._own_id = own.access_key_id
        self._own = Key(own.secret_access_key)
        self._sessions: dict[str, Key] = {}
        self._lock = threading.Lock()

    def find(self, key_id: str) -> Key | None:
        if secrets.compare_digest(key_id.encode("latin-1"), self._own_id.encode()):
            return self._own
        return self._sessions.get(key_id) or _key_of_moto(key_id)

    def open_session(self, seconds: float) -> tuple[str, Key]:
        """A new key with a token, both good for ``seconds``."""
        key_id = random_key_id("ASIA")
        key = Key(secrets.token_urlsafe(30), secrets.token_urlsafe(96), time.time() + seconds)
        with self._lock:
            self._sessions[key_id] = key
        return key_id, key


def hand_out_from_sts(keys: IssuedKeys) -> None:
    """Give each session a key of its own: moto gives the same one to everybody, and it opens nothing here."""
    from moto.sts.responses import TokenResponse

    for name in ("get_session_token", "get_federation_token"):
        setattr(TokenResponse, name, _with_a_key_of_its_own(keys, getattr(TokenResponse, name)))


def _with_a_key_of_its_own(keys: IssuedKeys, answer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def answer_with_a_key(self: Any) -> Any:
        given = answer(self)
        credentials = given.result["Credentials"]
        key_id, key = keys.open_session(_seconds_until(credentials["Expiration"]))
        credentials.update(AccessKeyId=key_id, SecretAccessKey=key.secret, SessionToken=key.token)
        return given

    return answer_with_a_key


def _key_of_moto(key_id: str) -> Key | None:
    """That of a user while it is active, or of a role that was assumed."""
    for iam in _backends("moto.iam.models", "iam_backends"):
        key = iam.access_keys.get(key_id)
        if key is None or key.status != "Active":
            continue
        if key.user_name is not None:
            return Key(key.secret_access_key)
        role = _assumed_role(key_id)
        if role is not None:
            return Key(role.secret_access_key, role.session_token, time.time() + _seconds_until(role.expiration))
    return None


def _assumed_role(key_id: str) -> Any:
    for sts in _backends("moto.sts.models", "sts_backends"):
        role = sts.get_assumed_role_from_access_key(key_id)
        if role is not None:
            return role
    return None


def _backends(module: str, name: str) -> Iterator[Any]:
    """Of all accounts and partitions that there are. A service that nobody has called has handed out nothing."""
    if module in sys.modules:
        for account in list(getattr(sys.modules[module], name).values()):
            yield from list(account.values())


def _seconds_until(expiration: Any) -> float:
    """moto's own times are of UTC, and don't say so."""
    from moto.core.utils import utcnow

    return float((expiration - utcnow()).total_seconds())

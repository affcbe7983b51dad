"""The secrets of one sandbox: who may log in, whom we expect to answer, and the password of the exec server."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.providers.ssh.key_pairs import KeyPair


@dataclass(frozen=True)
class Keyring:
    """``client`` logs in, ``host`` is what the sidecar has to prove, ``token`` opens the exec server."""

    client: KeyPair
    host: KeyPair
    token: str = field(repr=False)

    @property
    def token_sha256(self) -> str:
        """All that the container knows of it: commands can read the environment of a process of their own user."""
        return hashlib.sha256(self.token.encode()).hexdigest()

    @property
    def tunnel_token(self) -> str:
        """What the sidecar's end of tunnels is told: whoever has taken its port from it learns nothing of the token."""
        return hmac.digest(self.token.encode(), b"tunnel", "sha256").hex()

    def to_dict(self) -> dict[str, Any]:
        """Everything, in clear: for a file that nobody else can read."""
        return {"client": self.client.private, "host": self.host.private, "token": self.token}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Keyring:
        from pytest_fargate_sandbox.providers.ssh.key_pairs import parse_key_pair

        return cls(parse_key_pair(data["client"]), parse_key_pair(data["host"]), data["token"])


def make_keyring(aws: Aws, *, task_id: str, secret: bytes | None = None, client_secret: str = "") -> Keyring:
    """New for each sandbox; the client's pair comes from Secrets Manager where ``client_secret`` names one.

    With ``secret`` it is the same for everybody who knows the secret and the task's id: so a task can change hands
    without a key ever leaving a process.
    """
    from pytest_fargate_sandbox.providers.ssh.key_pairs import derived_key_pair

    secret = secret or secrets.token_bytes(32)

    def part(of: str) -> bytes:
        return hmac.digest(secret, f"{of}:{task_id}".encode(), "sha256")

    client = _secret_key_pair(aws, client_secret) if client_secret else derived_key_pair(part("client"))
    return Keyring(client, derived_key_pair(part("host")), part("token").hex())


@cache
def _secret_key_pair(aws: Aws, arn: str) -> KeyPair:
    from pytest_fargate_sandbox.providers.ssh.key_pairs import parse_key_pair

    value = aws.call("secretsmanager", "GetSecretValue", SecretId=arn)
    text = value.get("SecretString") or value["SecretBinary"].decode("utf-8", "replace")
    return parse_key_pair(text, f"the secret {arn}")

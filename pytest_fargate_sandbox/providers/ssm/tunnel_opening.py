"""What is said to an exec server to make a connection a tunnel: one message, which may arrive twice."""

from __future__ import annotations

import secrets

from pytest_fargate_sandbox.server.protocol import PREFIX
from pytest_fargate_sandbox.server.requests.http1 import request_head
from pytest_fargate_sandbox.server.tunnel.tunnel_verbs import Tunnel


def tunnel_opening(token: str) -> bytes:
    """All sessions of one ``SsmTunnel`` say the same, so that each takes the place of the one before."""
    body = Tunnel(id=secrets.token_hex(8)).to_json()
    return request_head(PREFIX + Tunnel.VERB, token, len(body)) + body

"""What is said in the task to make a connection one of a tunnel's carriers: one message, which may arrive twice."""

from __future__ import annotations

import secrets

from pytest_fargate_sandbox.server.protocol import PREFIX
from pytest_fargate_sandbox.server.requests.http1 import request_head
from pytest_fargate_sandbox.server.tunnel.tunnel_verbs import Tunnel


class TunnelOpening:
    """All first sessions of one ``SsmTunnel`` say the same, so that each takes the place of the one before."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._id = secrets.token_hex(8)

    def of(self, carrier: int) -> bytes:
        """0 is the first one, and the others join it."""
        body = Tunnel(id=self._id, carrier=carrier).to_json()
        return request_head(PREFIX + Tunnel.VERB, self._token, len(body)) + body

"""The SSH tunnel to a sidecar that takes no connection from anybody: through the Session Manager."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
from pytest_fargate_sandbox.providers.ssm.ssm_tunnel import SsmTunnel
from pytest_fargate_sandbox.providers.ssm.tunnel_opening import TunnelOpening

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.providers.ssh.ssh_connection import SshConnection


class SshInSession(SshTunnel):
    """SSH as ever, over a stream of an ``SsmTunnel``: alone it would die of the first message that comes twice."""

    def __init__(self, aws: Aws, *, host: str, port: int, tunnel_port: int, token: str, **asked: Any) -> None:
        """``host`` is what a session is started with; ``tunnel_port`` is where the sidecar takes the tunnel."""
        self._way = SsmTunnel(aws=aws, target=host, port=tunnel_port, opening=TunnelOpening(token))
        self._way.on_window = self._have_under_way
        self._window_order = threading.Lock()
        super().__init__(host=host, port=port, reach=lambda timeout: self._way.dial(port, timeout), **asked)

    def open(
        self,
        *,
        max_retries: int = 15,
        initial_backoff: float = 5.0,
        still_alive: Callable[[], None] | None = None,
    ) -> None:
        self._way.open(max_retries=max_retries, initial_backoff=initial_backoff, still_alive=still_alive)
        try:
            super().open(max_retries=max_retries, initial_backoff=initial_backoff, still_alive=still_alive)
        except BaseException:
            self._way.close()
            raise

    def _connect(self, connect: Callable[[], SshConnection]) -> SshConnection:
        connection = super()._connect(connect)
        self._have_under_way()
        return connection

    def _have_under_way(self) -> None:
        """One stream of the way carries all of SSH's, each of which has its own window.

        It is looked up by who sets it, one after another: what somebody has looked up before may be another by now.
        """
        with self._window_order:
            connection = self._connection
            if connection:
                connection.have_under_way(self._way.window)

    def close(self) -> None:
        super().close()
        self._way.close()

    def why_closed(self) -> str:
        return self._way.why_closed()

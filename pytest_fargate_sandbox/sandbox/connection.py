"""The way into one task: its tunnel, and the client of the exec server behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.leaves.config import SshSidecarConfig
    from pytest_fargate_sandbox.providers.ssh import SshTunnel
    from pytest_fargate_sandbox.sandbox.endpoints import Routes
    from pytest_fargate_sandbox.sandbox.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.keyring import Keyring

_LONGEST_PAUSE_SEC = 0.3
_NEVER = 1_000_000
"""How often to try is not the tunnel's to decide: ``still_alive`` ends the wait."""


class Connection:
    """Opened once, closed once. In between, a tunnel that is used and finds itself broken connects again by itself."""

    def __init__(
        self, host: str, sidecar: SshSidecarConfig, keyring: Keyring, *, routes: Routes, container_port: int | None
    ) -> None:
        from pytest_fargate_sandbox.providers.ssh import SshTunnel

        self.host = host
        self.inner_port: int = sidecar.exec_server_port or container_port or 0
        self.tunnel: SshTunnel = SshTunnel(
            host=host,
            port=sidecar.sshd_port,
            private_key=keyring.client,
            host_key=keyring.host.public,
            forward_port=self.inner_port,
            reverses=routes.specs,
        )
        self.exec_client: ExecClient | None = None
        if sidecar.exec_server_port is not None:
            self.exec_client = self._make_exec_client(keyring.token)

    def open(self, still_alive: Callable[[], None]) -> None:
        """Log in, trying until it works or ``still_alive`` raises."""
        self.tunnel.open(max_retries=_NEVER, initial_backoff=_LONGEST_PAUSE_SEC, still_alive=still_alive)

    def takes_connections(self) -> bool:
        """Whether something listens at the inner port."""
        try:
            self.tunnel.dial(self.inner_port, timeout=5.0).close()
        except TransportError:
            return False
        return True

    def is_well(self) -> bool:
        """Whether the sandbox answers through the tunnel, which is connected again if need be."""
        return self.exec_client.health() if self.exec_client else self.takes_connections()

    def close(self) -> None:
        if self.exec_client:
            self.exec_client.close()
        self.tunnel.close()

    def _make_exec_client(self, token: str) -> ExecClient:
        from pytest_fargate_sandbox.sandbox.exec_client import ExecClient

        return ExecClient(token=token, connect=lambda timeout: self.tunnel.dial(self.inner_port, timeout))

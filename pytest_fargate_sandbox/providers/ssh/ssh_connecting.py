"""Connecting with patience: to a server that isn't up yet, and again after a break."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.waiting import NotYet, WaitTimeout, wait_until
from pytest_fargate_sandbox.providers.ssh.ssh_connection import Refused, SshConnection, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.providers.ssh.ssh_connection import SshServer

_ATTEMPT_SECONDS = 5.0


def connect_patiently(
    server: SshServer,
    *,
    patience: float,
    may_go_on: Callable[[], None],
    longest_pause: float = 0.5,
    again: bool = False,
) -> SshConnection:
    """Try for ``patience`` seconds. ``may_go_on`` is called before each attempt; what it raises ends the wait.

    ``again``: there was a connection, so a server that refuses is gone for good, while a network may come back.
    """
    end = time.monotonic() + patience

    def probe() -> SshConnection:
        may_go_on()
        left = max(1.0, end - time.monotonic())  # the last attempt is not cut too short to succeed
        try:
            return SshConnection.connect(server, min(_ATTEMPT_SECONDS, left))
        except Unreachable as error:
            if again and isinstance(error, Refused):
                raise TransportError(f"the SSH connection broke, and {error}: the task has probably ended") from error
            raise NotYet(error.message) from error

    what = f"an SSH connection to {server}"
    try:
        return wait_until(probe, deadline=patience, what=what, longest_pause=max(longest_pause, 0.01))
    except WaitTimeout as error:
        raise TransportError(
            f"{error}. Is the task running, and does its security group let us reach port {server.port}?",
            host=server.host,
            port=server.port,
        ) from error

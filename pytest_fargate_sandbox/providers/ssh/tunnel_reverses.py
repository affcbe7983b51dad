"""Ports on the other side that lead here, opened anew on each connection."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.sockets import Listener
from pytest_fargate_sandbox.leaves.waiting import NotYet, WaitTimeout, wait_until
from pytest_fargate_sandbox.providers.ssh.tunnel_relays import TunnelRelays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_fargate_sandbox.leaves.forwards import Forward
    from pytest_fargate_sandbox.providers.ssh.ssh_connection import SshConnection

_LISTEN_SECONDS = 1.0
"""For a port that nobody of ours had: a process that was just ended lets go of it in less."""
_RECLAIM_SECONDS = 60.0
"""A listener left by a connection that broke silently stands until the server gives that one up: 15 s with ours."""

_log = logging.getLogger(__name__)


class Reverses:
    """Who calls ``open_all`` and ``add`` does so one at a time."""

    def __init__(self, forwards: Iterable[Forward], name: str) -> None:
        self._forwards = {forward.listener: forward for forward in forwards}
        self._reclaims: set[Listener] = set()
        """Those that an earlier connection had, so that a server may still hold them for it."""
        self.callers = TunnelRelays(name)
        """Apart from our own connections, so that a crowd from the other side leaves room for those."""

    def __bool__(self) -> bool:
        return bool(self._forwards)

    def open_all(self, connection: SshConnection, run: Callable[[Callable[[], None]], object]) -> None:
        """All are asked for at once. Those that an earlier connection of ours still holds come later, in a thread.

        ``run`` makes that; nothing else waits for it.
        """
        end = time.monotonic() + _LISTEN_SECONDS
        for forward, answer in [(forward, self._ask(connection, forward)) for forward in self._forwards.values()]:
            try:
                answer()
            except TransportError:
                self._insist(connection, forward, end, run)
            self._reclaims.add(forward.listener)

    def add(self, connection: SshConnection, forward: Forward) -> int:
        """Open one more; which port it is, if any would do."""
        patience = _RECLAIM_SECONDS if forward.listener in self._reclaims else _LISTEN_SECONDS
        opened = Listener(forward.listener.address, self._request(connection, forward, patience))
        self._forwards[opened] = forward._replace(listener=opened)
        self._reclaims.add(opened)
        return opened.port

    def end_connections(self) -> None:
        callers, self.callers = self.callers, TunnelRelays(self.callers.name)
        callers.close()

    def _insist(
        self, connection: SshConnection, forward: Forward, end: float, run: Callable[[Callable[[], None]], object]
    ) -> None:
        is_ours = forward.listener in self._reclaims
        try:
            self._request(connection, forward, max(0.0, end - time.monotonic()) if is_ours else _LISTEN_SECONDS)
        except TransportError:
            if not is_ours or not connection.is_alive:
                raise
            run(partial(self._reclaim, connection, forward))

    def _reclaim(self, connection: SshConnection, forward: Forward) -> None:
        try:
            self._request(connection, forward, _RECLAIM_SECONDS)
        except TransportError as error:
            if connection.is_alive:  # else the next one tries
                _log.warning("%s", error)

    def _request(self, connection: SshConnection, forward: Forward, patience: float) -> int:
        """Which port was opened; one that somebody else has is asked for until it is free."""
        port = forward.listener.port

        def probe() -> int:
            try:
                return self._ask(connection, forward)()
            except TransportError as error:
                if not connection.is_alive:
                    raise
                raise NotYet(error.message) from error

        try:
            return wait_until(probe, deadline=patience, what=f"listening on port {port} there")
        except WaitTimeout as error:
            raise TransportError(str(error), remote_port=port) from error

    def _ask(self, connection: SshConnection, forward: Forward) -> Callable[[], int]:
        target = (forward.host, forward.host_port)
        return connection.listen(forward.listener, lambda caller: self.callers.connect(target, caller))

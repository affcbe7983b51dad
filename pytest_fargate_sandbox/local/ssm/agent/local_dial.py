"""A connection to a port of the task, as its programs would make it to ``localhost``."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.namespaces.event_loop import WRITABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop

_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


class LocalDial:
    """Tells ``done`` a connected socket, or None where nobody listens, from the loop or at once."""

    def __init__(self, loop: Loop, port: int, done: Callable[[socket.socket | None], None]) -> None:
        self._loop, self._port, self._done = loop, port, done
        self._untried = list(_ADDRESSES)
        self._try_next()

    def _try_next(self) -> None:
        while self._untried:
            family, address = self._untried.pop(0)
            try:
                dialled = socket.socket(family, socket.SOCK_STREAM)
            except OSError:  # a kernel without IPv6
                continue
            dialled.setblocking(False)
            try:
                dialled.connect((address, self._port))
            except BlockingIOError:
                self._loop.watch(dialled.fileno(), partial(self._connected, dialled), WRITABLE)
                return
            except OSError:
                dialled.close()
                continue
            self._done(dialled)
            return
        self._done(None)

    def _connected(self, dialled: socket.socket) -> None:
        self._loop.forget(dialled.fileno())
        if dialled.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            dialled.close()
            self._try_next()
        else:
            self._done(dialled)

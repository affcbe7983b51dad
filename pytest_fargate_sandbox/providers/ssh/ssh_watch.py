"""Whether the other side of an SSH connection is still there: asked by ourselves, since TCP may say yes for ever.

A middle box that has forgotten a connection may go on acknowledging it, data and probes, and deliver nothing. So the
other side has to answer over SSH, as OpenSSH's ServerAliveInterval has it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

DEAD_AFTER_SECONDS = 10.0
"""How long nothing may come while we ask.

A dead connection is to be replaced within 15 s of its death: a fifth of this may pass before the first look, and what
is left is for connecting again. A server that is stopped for 5 s, or starved, must be able to answer in time.
"""

_LOOKS = 5
"""In that time. What is counted is looks and not seconds: if we ourselves were stopped for a minute, that is one."""


class Watched(Protocol):
    """What is needed of a transport here."""

    def is_active(self) -> bool: ...

    def heard(self) -> object:
        """Differs from what it was if anything came since, whether somebody has read it yet or not."""

    def ask(self) -> None:
        """Make the other side say something. Must not block."""


class Watch:
    """Looks now and then, in a thread of its own: the transport's may be stuck in a write that nobody takes."""

    def __init__(self, transport: Watched, dead_after: float, on_death: Callable[[], None], name: str) -> None:
        self._transport = transport
        self._pause = dead_after / _LOOKS
        self._on_death = on_death
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name=name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _look(self) -> None:
        heard, silent = self._transport.heard(), 0
        while not self._over.wait(self._pause) and self._transport.is_active():
            before, heard = heard, self._transport.heard()
            silent = silent + 1 if heard == before else 0
            if silent >= _LOOKS:
                self._on_death()
                return
            if silent:
                self._transport.ask()

"""A channel of an SSH connection, with the manners of a socket."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import paramiko

from pytest_fargate_sandbox.leaves.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.providers.ssh.uninterrupted import Hands

BROKEN = (OSError, EOFError, paramiko.SSHException)
"""All that paramiko raises when its connection or a channel of it fails, whatever it was asked for.

``EOFError`` is its word for a socket that takes no more bytes (packet.py, ``write_all``). Reading sends as well: it
tells the other side that there is room again (channel.py, the end of ``recv``).
"""

_PACKET = 32_000
"""A little less than SSH's packet: what is sent in one piece is encrypted and written in one piece."""


class ChannelStream:
    """``sendall``, ``recv``, ``settimeout`` and ``close`` as on a socket; a time-out is a ``TimeoutError``.

    A stream that ends without a word from the other side raises ``TransportError``, so that a lost tunnel is never
    taken for the end of what the other side had to say.
    """

    def __init__(
        self, channel: paramiko.Channel, name: str, why_dead: Callable[[], str | None], hands: Hands | None = None
    ) -> None:
        """``hands`` serve the main thread, where that is among those who use this."""
        self.name = name
        self._channel = channel
        self._why_dead = why_dead
        self._do: Callable[[Callable[[], Any]], Any] = hands.do if hands else lambda deed: deed()

    def settimeout(self, seconds: float | None) -> None:
        self._channel.settimeout(seconds)

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end of the stream."""
        with self.failing_as("lost"):
            data: bytes = self._do(lambda: self._channel.recv(size))
        if not data and not self._channel.eof_received:
            raise TransportError(f"lost {self.name}: {self._why_dead() or 'it was broken off'}", where=self.name)
        return data

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything, a packet at a time: paramiko's own ``sendall`` copies the whole rest for each packet."""
        with self.failing_as("cannot send to"):
            self._do(lambda: self._send(memoryview(data)))

    def _send(self, view: memoryview) -> None:
        # https://github.com/paramiko/paramiko/blob/5.1.0/paramiko/channel.py#L845
        sent = 0
        while sent < len(view):
            count = self._channel.send(bytes(view[sent : sent + _PACKET]))
            if not count:
                raise ConnectionResetError("the other side closed the stream")
            sent += count

    def shutdown_write(self) -> None:
        """Tell the other side that nothing more will come."""
        with self.failing_as("cannot end"):
            self._do(self._channel.shutdown_write)

    @property
    def is_over(self) -> bool:
        """Closed by both sides, or with its connection: nothing can be sent any more."""
        return bool(self._channel.closed)

    def close(self) -> None:
        try:
            self._do(self._channel.close)
        except BROKEN:
            pass  # what is gone is closed

    def break_off(self) -> None:
        """Close it without the word that all was said, so that the other side does not take a part for the whole."""
        self._channel.eof_sent = True
        self.close()

    @contextmanager
    def failing_as(self, deed: str) -> Iterator[None]:
        """Whatever breaks inside is a ``TransportError`` that begins with ``deed``; a time-out is the caller's own."""
        try:
            yield
        except TimeoutError:
            raise
        except BROKEN as error:
            why = self._why_dead() or str(error) or "the connection broke"
            raise TransportError(f"{deed} {self.name}: {why}", where=self.name) from error

"""The channels of one SSH connection, each of which can be ended from the moment that it is among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paramiko.transport import ChannelMap

if TYPE_CHECKING:
    import paramiko


class Channels(ChannelMap):
    """A channel that is put here knows its transport.

    paramiko tells it a moment later, and a connection that broke in between ended with an ``AttributeError`` in its own
    thread: it was alive for whoever asked, and nobody read from it any more.
    """

    def __init__(self, transport: paramiko.Transport) -> None:
        super().__init__()
        self._transport = transport

    def put(self, chanid: int, chan: paramiko.Channel) -> None:
        # https://github.com/paramiko/paramiko/blob/5.1.0/paramiko/transport.py#L1042
        chan._set_transport(self._transport)  # type: ignore[attr-defined]
        super().put(chanid, chan)

"""Somebody at the other side's end who wants to come through: let in when it is known where that leads, or refused.

paramiko opens whatever channel it is asked for (transport.py, ``_parse_channel_open``), so that a port behind which
nobody answers would take connections and end them at once, as if somebody had answered with nothing. OpenSSH connects
first, and so do we: a refusal is a reset for who has sent something already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.common import (
    DEFAULT_MAX_PACKET_SIZE,
    OPEN_FAILED_CONNECT_FAILED,
    cMSG_CHANNEL_OPEN_FAILURE,
    cMSG_CHANNEL_OPEN_SUCCESS,
)

from pytest_fargate_sandbox.providers.ssh.ssh_stream import BROKEN, ChannelStream

if TYPE_CHECKING:
    from collections.abc import Callable

_FEW = 32
_MANY_WINDOW = 1 << 17
"""How much each of many may bring that nobody has read yet: all are to stay in memory, whoever opens them."""


class Knock:
    """A request to open a channel; ``host`` and ``port`` say which listener was met, or what is to be dialled."""

    def __init__(self, transport: Any, message: paramiko.Message) -> None:
        """``message`` has been read up to its kind (RFC 4254, section 7.2)."""
        self._transport = transport
        self._number, self._room, self._packet = message.get_int(), message.get_int(), message.get_int()
        self.host, self.port = message.get_text(), message.get_int()
        self.name = "the other side"
        self.why_dead: Callable[[], str | None] = lambda: None

    def let_in(self) -> ChannelStream:
        """The stream; it may wait until its word can be sent, so not in the transport's thread."""
        transport = self._transport
        window = transport.default_window_size
        if len(transport._channels) >= _FEW:
            window = min(window, _MANY_WINDOW)
        with transport.lock:
            number = transport._next_channel()
            channel: Any = paramiko.Channel(number)
            transport._channels.put(number, channel)
            transport.channels_seen[number] = True
            channel._set_window(window, DEFAULT_MAX_PACKET_SIZE)
            channel._set_remote_channel(self._number, self._room, self._packet)
        answer = self._answer(cMSG_CHANNEL_OPEN_SUCCESS)
        for value in (number, window, DEFAULT_MAX_PACKET_SIZE):
            answer.add_int(value)
        stream = ChannelStream(channel, self.name, self.why_dead)
        with stream.failing_as("cannot answer"):
            transport._send_user_message(answer)
        if not transport.is_active():
            channel._unlink()  # it came too late to end with the others
        return stream

    def refuse(self, code: int = OPEN_FAILED_CONNECT_FAILED) -> None:
        answer = self._answer(cMSG_CHANNEL_OPEN_FAILURE)
        answer.add_int(code)
        answer.add_string("")
        answer.add_string("en")
        try:
            self._transport._send_user_message(answer)
        except BROKEN:
            pass  # then it is refused

    def _answer(self, kind: bytes) -> paramiko.Message:
        answer = paramiko.Message()
        answer.add_byte(kind)
        answer.add_int(self._number)
        return answer

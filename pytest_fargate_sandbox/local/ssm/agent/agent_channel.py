"""The agent's end of one data channel: numbers, acknowledgements, resends, and a socket that may be lost.

It keeps to what the real agent was seen to do, its faults included: where the acknowledgement of a message cannot be
written, the message counts as not taken, and is taken a second time when the client sends it again. Of what was not
acknowledged it resends the oldest message only, each tenth of a second.
https://github.com/aws/amazon-ssm-agent/blob/1c217c89/agent/session/datachannel/datachannel.go
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.session_message import (
    ACKNOWLEDGE,
    CHANNEL_CLOSED,
    INPUT,
    OUTPUT,
    PAUSE_PUBLICATION,
    SESSION_STATE,
    START_PUBLICATION,
    MalformedMessage,
    SessionMessage,
    acknowledged_sequence,
    acknowledgement,
    decode,
    encode,
    state_message,
    stream_message,
)
from pytest_fargate_sandbox.local.ssm.agent.round_trips import RoundTrips
from pytest_fargate_sandbox.local.ssm.relay_words import LARGEST_PACKET, MARKS, Mark

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop

_LOOK_SEC = 0.1
_MOST_KEPT = 100_000
"""Messages that came too early, or were not acknowledged yet; beyond them the real agent forgets."""
_MOST_RESENDS = 3000
_DIALS = 5
_FIRST_PAUSE_SEC = 0.1


class _Sent:
    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.at = time.monotonic()
        self.resends = 0


class AgentChannel:
    """``take`` is given each stream message of the client's once, in order, and says whether it was ready for it.

    ``on_resume`` is called when sending may go on, ``on_end`` when the channel is closed for good.
    """

    def __init__(
        self,
        loop: Loop,
        dial: Callable[[], socket.socket | None],
        take: Callable[[int, bytes], bool],
        on_resume: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._loop, self._dial = loop, dial
        self._take, self._on_resume, self._on_end = take, on_resume, on_end
        self._socket: socket.socket | None = None
        self._buffer = bytearray(LARGEST_PACKET)
        self._paused = False
        self._stopped_reading = False
        self._next, self._expected = 0, 0
        self._early: dict[int, SessionMessage] = {}
        self._unacknowledged: dict[int, _Sent] = {}
        self._trips = RoundTrips()
        self._connect(1)
        self._resend_in_time()

    @property
    def may_send(self) -> bool:
        return not self._paused

    def send(self, payload_type: int, payload: bytes) -> None:
        message = stream_message(OUTPUT, self._next, payload_type, payload)
        self._next += 1
        packet = encode(message)
        if len(self._unacknowledged) < _MOST_KEPT:
            self._unacknowledged[message.sequence] = _Sent(packet)
        self._write(packet)

    def tell_end(self) -> None:
        """What ends sessions that are no port sessions."""
        self._write(encode(state_message(SESSION_STATE, {"SchemaVersion": 1, "SessionState": "Terminating"})))

    def stop_reading(self) -> None:
        """What takes the client's bytes is full: then nothing passes, neither flags nor acknowledgements."""
        if not self._stopped_reading and self._socket is not None:
            self._loop.forget(self._socket.fileno())
        self._stopped_reading = True

    def go_on_reading(self) -> None:
        if self._stopped_reading and self._socket is not None:
            self._loop.watch(self._socket.fileno(), self._read)
        self._stopped_reading = False

    # --- the socket --------------------------------------------------------------------------------------------------

    def _connect(self, attempt: int) -> None:
        self._socket = self._dial()
        if self._socket is None:
            if attempt == _DIALS:
                self._on_end()
            else:
                self._loop.call_later(_FIRST_PAUSE_SEC * 2**attempt, lambda: self._connect(attempt + 1))
        elif not self._stopped_reading:
            self._loop.watch(self._socket.fileno(), self._read)

    def _lose(self) -> None:
        if self._socket is None:
            return
        if not self._stopped_reading:
            self._loop.forget(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._loop.call_later(_FIRST_PAUSE_SEC, lambda: self._connect(1))

    def _write(self, packet: bytes) -> bool:
        if self._socket is None:
            return False
        try:
            self._socket.send(packet)
        except OSError:
            return False  # whoever reads hears of it
        return True

    def _read(self) -> None:
        assert self._socket is not None
        try:
            size = self._socket.recv_into(self._buffer, 0, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._lose()
            return
        try:
            message = decode(bytes(memoryview(self._buffer)[MARKS:size]))
            self._receive(message, Mark(self._buffer[0]))
        except MalformedMessage:
            pass  # as the real one, which logs it

    # --- messages ----------------------------------------------------------------------------------------------------

    def _receive(self, message: SessionMessage, mark: Mark) -> None:
        if message.type == PAUSE_PUBLICATION:
            self._paused = True
        elif message.type == CHANNEL_CLOSED:
            self._on_end()
        elif message.type == ACKNOWLEDGE:
            self._acknowledged(acknowledged_sequence(message))
            self._resume()
        elif message.type == START_PUBLICATION:
            self._resume()
        elif message.type == INPUT:
            self._resume()
            self._receive_input(message, mark)

    def _receive_input(self, message: SessionMessage, mark: Mark) -> None:
        if message.sequence > self._expected:
            if len(self._early) < _MOST_KEPT:
                self._early[message.sequence] = message
                self._acknowledge(message)
        elif message.sequence < self._expected:
            self._acknowledge(message)
        elif self._take(message.payload_type, message.payload):
            if mark is Mark.DOUBLE or not self._acknowledge(message):
                return  # it has been taken, and will be taken again
            self._expected += 1
            while self._expected in self._early:
                early = self._early.pop(self._expected)
                self._take(early.payload_type, early.payload)
                self._expected += 1

    def _acknowledge(self, message: SessionMessage) -> bool:
        return self._write(encode(acknowledgement(message)))

    def _acknowledged(self, sequence: int) -> None:
        sent = self._unacknowledged.pop(sequence, None)
        if sent is not None:
            self._trips.learn(time.monotonic() - sent.at)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._on_resume()

    def _resend_in_time(self) -> None:
        sent = next(iter(self._unacknowledged.values()), None)
        if sent is not None and time.monotonic() - sent.at > self._trips.resend_after:
            if sent.resends == _MOST_RESENDS:
                self._on_end()
                return
            sent.at, sent.resends = time.monotonic(), sent.resends + 1
            self._write(sent.packet)
        self._loop.call_later(_LOOK_SEC, self._resend_in_time)

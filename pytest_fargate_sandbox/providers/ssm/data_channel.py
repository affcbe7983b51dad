"""The numbers of a data channel: what was taken, what was acknowledged, what is sent again, and when.

It has no clock and no connection of its own: whoever has them tells it the time, and sends what is ``outgoing``.

The agent sends only its oldest unacknowledged message again, each 100 ms, so that each lost acknowledgement costs it
that: what comes twice is acknowledged together with all that came behind it. And it may take a message of ours twice
(``server/tunnel/records.py`` has the cure).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.session_message import (
    ACKNOWLEDGE,
    CHANNEL_CLOSED,
    INPUT,
    OUTPUT,
    SessionMessage,
    acknowledged_sequence,
    acknowledgement,
    decode,
    encode,
    stream_message,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_UNACKNOWLEDGED = 64
"""Clients that were further ahead of the agent have seen sessions stall and tear.
https://github.com/aws/session-manager-plugin/issues/145
"""

_RESEND_AMONG = 200
_LOOK_SEC = 0.1
_FIRST_RTO_SEC, _LONGEST_RTO_SEC = 0.2, 1.0
_TRIPS_SEC = 5.0
_LONGEST_BACK_OFF = 16
_ACKNOWLEDGED_AGAIN = 512
_AGAIN_EVERY_SEC = 0.09
_MOST_AHEAD = 8 << 20
"""Bytes of messages that came before their turn, and ``_COST`` for each; the agent sends again what is not kept."""
_COST = 1024


@dataclass
class _Sent:
    frame: bytes
    first: float
    last: float
    is_again: bool = False


class DataChannel:
    def __init__(self) -> None:
        self.outgoing: deque[bytes] = deque()
        """Frames that are to go now, in order."""
        self.progress = 0.0
        """When something of ours was last acknowledged, or began to wait for that."""
        self._shortest = self._shortest_before = _LONGEST_RTO_SEC
        self._shortest_since = 0.0
        self._next_out = 0
        self._unacknowledged: dict[int, _Sent] = {}
        self._expected = self._behind_all = 0
        self._ahead: dict[int, SessionMessage] = {}
        self._ahead_bytes = 0
        self._recent: deque[SessionMessage] = deque(maxlen=_ACKNOWLEDGED_AGAIN)
        self._acknowledged_again = 0.0
        self._rtt, self._rtt_variance, self._rto = 0.1, 0.0, _FIRST_RTO_SEC
        self._back_off = 1

    @property
    def room(self) -> int:
        """How many more messages may be sent now."""
        return MOST_UNACKNOWLEDGED - len(self._unacknowledged)

    @property
    def round_trip(self) -> float:
        """The shortest one of late: acknowledgements wait behind nothing but who is slow."""
        return min(self._shortest, self._shortest_before)

    @property
    def waits(self) -> bool:
        """Whether something of ours is still to be acknowledged."""
        return bool(self._unacknowledged)

    @property
    def missing(self) -> int:
        """How many of the agent's messages got lost, as those tell that have come from behind them."""
        return self._behind_all - self._expected - len(self._ahead) if self._ahead else 0

    def send(self, payload_type: int, payload: bytes, now: float) -> None:
        message = stream_message(INPUT, self._next_out, payload_type, payload)
        if not self._unacknowledged:
            self.progress = now
        frame = encode(message)
        self._unacknowledged[self._next_out] = _Sent(frame, now, now)
        self._next_out += 1
        self.outgoing.append(frame)

    def take(self, frame: bytes, now: float) -> list[SessionMessage]:
        """What is to be acted upon, in order. Raises ``MalformedMessage``."""
        message = decode(frame)
        if message.type == ACKNOWLEDGE:
            self._take_acknowledgement(acknowledged_sequence(message), now)
        elif message.type == OUTPUT:
            if not message.is_intact:
                return []  # it was not taken, so it comes again
            return self._take_output(message, now)
        elif message.type == CHANNEL_CLOSED:
            return [message]
        return []

    def reconnected(self, now: float) -> None:
        """On a new connection nothing is under way: all that was not acknowledged goes again."""
        self.outgoing.clear()
        for sent in self._unacknowledged.values():
            self._send_again(sent, now)
        self.progress = now
        self._shortest = self._shortest_before = _LONGEST_RTO_SEC
        self._back_off = 1

    def tick(self, now: float) -> float | None:
        """Send again what is due; in how many seconds to look again, if at all."""
        if not self._unacknowledged:
            return None
        wait, due = self._rto * self._back_off, False
        for sent in list(self._unacknowledged.values())[:_RESEND_AMONG]:
            if now - sent.last >= wait:
                self._send_again(sent, now)
                due = True
        if due:
            self._back_off = min(self._back_off * 2, _LONGEST_BACK_OFF)
        return _LOOK_SEC

    def _send_again(self, sent: _Sent, now: float) -> None:
        sent.last, sent.is_again = now, True
        self.outgoing.append(sent.frame)

    def _take_acknowledgement(self, sequence: int, now: float) -> None:
        sent = self._unacknowledged.pop(sequence, None)
        if sent is None:
            return
        self.progress, self._back_off = now, 1
        if not sent.is_again:  # else nobody knows which of them it answers
            took = now - sent.first
            if now - self._shortest_since > _TRIPS_SEC:
                self._shortest_before, self._shortest, self._shortest_since = self._shortest, took, now
            self._shortest = min(self._shortest, took)
            self._rtt_variance = 0.75 * self._rtt_variance + 0.25 * abs(self._rtt - took)
            self._rtt = 0.875 * self._rtt + 0.125 * took
            self._rto = min(_LONGEST_RTO_SEC, self._rtt + max(0.01, 4 * self._rtt_variance))

    def _take_output(self, message: SessionMessage, now: float) -> list[SessionMessage]:
        if message.sequence < self._expected:
            self._acknowledge([message])
            self._acknowledge_again(message.sequence, now)
            return []
        if message.sequence > self._expected:
            if self._keeps(message):
                self._acknowledge([message])
            return []
        taken = [message]
        self._expected += 1
        while self._expected in self._ahead:
            taken.append(self._ahead.pop(self._expected))
            self._ahead_bytes -= len(taken[-1].payload) + _COST
            self._expected += 1
        # Counted before it is acknowledged: a connection that breaks here makes it come again, and be known.
        self._acknowledge([message])
        self._recent.extend(each._replace(payload=b"") for each in taken)
        return taken

    def _keeps(self, early: SessionMessage) -> bool:
        if early.sequence not in self._ahead:
            cost = len(early.payload) + _COST
            if self._ahead_bytes + cost > _MOST_AHEAD:
                return False
            self._ahead[early.sequence] = early
            self._ahead_bytes += cost
            self._behind_all = max(self._behind_all, early.sequence + 1)
        return True

    def _acknowledge(self, messages: Iterable[SessionMessage]) -> None:
        self.outgoing.extend(encode(acknowledgement(message)) for message in messages)

    def _acknowledge_again(self, behind: int, now: float) -> None:
        if now - self._acknowledged_again < _AGAIN_EVERY_SEC:
            return
        self._acknowledged_again = now
        later = [each for each in self._recent if each.sequence > behind]
        self._acknowledge(later)
        self._acknowledge(list(self._ahead.values())[:_ACKNOWLEDGED_AGAIN])

"""A data channel against an agent that behaves as the real one, faults and all, in a time of their own."""

from __future__ import annotations

import random
from collections import deque

import pytest

from pytest_fargate_sandbox.leaves.session_message import (
    ACKNOWLEDGE,
    INPUT,
    OUTPUT,
    MalformedMessage,
    PayloadType,
    SessionMessage,
    acknowledged_sequence,
    acknowledgement,
    decode,
    encode,
    stream_message,
)
from pytest_fargate_sandbox.providers.ssm.data_channel import MOST_UNACKNOWLEDGED, DataChannel

_RESEND_SEC = 0.1


class Agent:
    """Sends only its oldest unacknowledged message again, and takes one twice where it cannot acknowledge it."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.outgoing: deque[bytes] = deque()
        self._expected = self._next = 0
        self._ahead: dict[int, SessionMessage] = {}
        self.unacknowledged: dict[int, bytes] = {}
        self._resent = 0.0

    def say(self, data: bytes) -> None:
        frame = encode(stream_message(OUTPUT, self._next, PayloadType.DATA, data))
        self.unacknowledged[self._next] = frame
        self._next += 1
        self.outgoing.append(frame)

    def take(self, frame: bytes, *, can_acknowledge: bool = True) -> None:
        message = decode(frame)
        if message.type == ACKNOWLEDGE:
            self.unacknowledged.pop(acknowledged_sequence(message), None)
            return
        assert message.type == INPUT
        if can_acknowledge:
            self.outgoing.append(encode(acknowledgement(message)))
        if message.sequence > self._expected:
            self._ahead[message.sequence] = message
        elif message.sequence == self._expected:
            self.taken.append(message.payload)
            self._expected += can_acknowledge
            while can_acknowledge and self._expected in self._ahead:
                self.taken.append(self._ahead.pop(self._expected).payload)
                self._expected += 1

    def tick(self, now: float) -> None:
        if self.unacknowledged and now - self._resent >= _RESEND_SEC:
            self._resent = now
            self.outgoing.append(next(iter(self.unacknowledged.values())))


class Trial:
    """Both, and what is between them."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.now = 0.0
        self.channel, self.agent = DataChannel(), Agent()
        self.heard: list[bytes] = []
        self.sent = 0

    def step(self, *, lost: float = 0.0, deaf: float = 0.0) -> None:
        """A millisecond. ``lost`` of what travels is; ``deaf``: how often the agent cannot acknowledge."""
        self.now += 0.001
        self.channel.tick(self.now)
        self.agent.tick(self.now)
        for _ in range(len(self.channel.outgoing)):
            frame = self.channel.outgoing.popleft()
            if self.random.random() >= lost:
                self.agent.take(frame, can_acknowledge=self.random.random() >= deaf)
        for _ in range(min(len(self.agent.outgoing), 4)):
            frame = self.agent.outgoing.popleft()
            if self.random.random() >= lost:
                self.heard += [message.payload for message in self.channel.take(frame, self.now)]

    def send(self) -> None:
        self.channel.send(PayloadType.DATA, b"%d" % self.sent, self.now)
        self.sent += 1

    def cut(self) -> None:
        self.agent.outgoing.clear()
        self.channel.reconnected(self.now)


def numbers(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


@pytest.mark.parametrize("seed", range(4))
def test_all_arrives_in_order_though_much_is_lost_and_connections_break(seed: int) -> None:
    trial = Trial(seed)
    for number in range(600):
        if trial.channel.room > 0:
            trial.send()
        trial.agent.say(b"%d" % number)
        trial.step(lost=0.02, deaf=0.01)
        if number % 150 == 149:
            trial.cut()
    while (trial.channel.waits or trial.agent.unacknowledged) and trial.now < 120:
        trial.step()
    assert trial.heard == numbers(600)
    assert list(dict.fromkeys(trial.agent.taken)) == numbers(trial.sent)
    assert len(trial.agent.taken) > trial.sent, "the agent's own fault never struck"


def test_lost_acknowledgements_do_not_cost_the_agent_a_tenth_of_a_second_each() -> None:
    trial = Trial()
    for number in range(500):
        trial.agent.say(b"%d" % number)
    while len(trial.heard) < 500:
        trial.step(lost=0.0)
        trial.channel.outgoing.clear()  # what the connection took with it
    began = trial.now
    while trial.agent.unacknowledged:
        trial.step()
    assert trial.now - began < 0.5
    assert trial.heard == numbers(500)


def test_no_more_than_so_many_are_on_their_way() -> None:
    trial = Trial()
    for _ in range(MOST_UNACKNOWLEDGED):
        assert trial.channel.room > 0
        trial.send()
    assert trial.channel.room == 0
    for _ in range(20):
        trial.step()
    assert trial.channel.room == MOST_UNACKNOWLEDGED


def test_an_agent_that_says_nothing_is_asked_ever_more_seldom() -> None:
    trial = Trial()
    for _ in range(MOST_UNACKNOWLEDGED):
        trial.send()
    frames = 0
    for _ in range(130_000):
        trial.now += 0.001
        trial.channel.tick(trial.now)
        frames += len(trial.channel.outgoing)
        trial.channel.outgoing.clear()
    assert MOST_UNACKNOWLEDGED < frames < 100 * MOST_UNACKNOWLEDGED


def test_after_a_cut_all_that_was_on_its_way_goes_again_in_order() -> None:
    trial = Trial()
    for _ in range(10):
        trial.send()
    trial.channel.outgoing.clear()
    trial.cut()
    assert [decode(frame).sequence for frame in trial.channel.outgoing] == list(range(10))


def test_a_message_that_was_damaged_on_its_way_is_not_taken_until_it_comes_whole() -> None:
    channel = DataChannel()
    frame = encode(stream_message(OUTPUT, 0, PayloadType.DATA, b"good"))
    assert channel.take(frame[:-1] + b"x", 0.0) == []
    assert not channel.outgoing
    assert [message.payload for message in channel.take(frame, 0.0)] == [b"good"]
    with pytest.raises(MalformedMessage):
        channel.take(b"\0" * 20, 0.0)


def test_a_round_trip_is_the_shortest_of_late_and_anew_on_each_connection() -> None:
    channel, agent, now = DataChannel(), Agent(), 0.0

    def takes(seconds: float) -> float:
        nonlocal now
        channel.send(PayloadType.DATA, b"x", now)
        agent.take(channel.outgoing.popleft())
        now += seconds
        channel.take(agent.outgoing.popleft(), now)
        return channel.round_trip

    assert [takes(seconds) for seconds in (0.09, 0.02, 0.05)] == pytest.approx([0.09, 0.02, 0.02])
    assert [takes(0.08) for _ in range(200)][-1] == pytest.approx(0.08)
    channel.reconnected(now)
    assert takes(0.3) == pytest.approx(0.3)


def test_what_comes_before_its_turn_is_kept_within_bounds() -> None:
    channel = DataChannel()
    for number in range(1, 100):
        assert channel.take(encode(stream_message(OUTPUT, number, PayloadType.DATA, bytes(1_000_000))), 0.0) == []
    assert sum(len(message.payload) for message in channel._ahead.values()) < 10_000_000
    assert len(channel.outgoing) == len(channel._ahead)


def test_it_is_known_how_much_of_the_agents_got_lost_once_something_comes_from_behind_it() -> None:
    channel, messages = DataChannel(), [encode(stream_message(OUTPUT, n, PayloadType.DATA, b"x")) for n in range(9)]
    seen = []
    for number in (0, 5, 7, 7, 1, 2, 3, 4, 6, 8):
        channel.take(messages[number], 0.0)
        seen.append(channel.missing)
    assert seen == [0, 4, 5, 5, 4, 3, 2, 1, 0, 0]

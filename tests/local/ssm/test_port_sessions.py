from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.session_message import CHANNEL_CLOSED, Flag, PayloadType, flag_of, flag_payload
from pytest_fargate_sandbox.leaves.smux_frames import Command
from pytest_fargate_sandbox.leaves.smux_frames import encode as frame
from tests.local.ssm.conftest import GREETING_PORT, SLEEPY_PORT, wait_a_moment
from tests.local.ssm.session_peer import SessionPeer, Streams, elapsed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.local.ssm.exec_task import ExecTask

CLOSED_PORT = 7999


def test_a_port_session_begins_with_a_handshake_and_carries_many_streams(task: ExecTask) -> None:
    peer = SessionPeer(task.start())
    request = peer.shake_hands()
    properties = {"portNumber": "7000", "localPortNumber": "0", "type": "LocalPortForwarding"}
    action = {"ActionType": "SessionType", "ActionParameters": {"SessionType": "Port", "Properties": properties}}
    assert request == {"AgentVersion": "3.3.0.0", "RequestedClientActions": [action]}
    first = peer.messages[0]
    assert (first.sequence, first.flags, first.payload_type) == (0, 1, PayloadType.HANDSHAKE_REQUEST)
    streams = Streams(peer)
    numbers = [streams.open() for _ in range(20)]
    for number in numbers:
        streams.send(number, str(number).encode() * 500)
    for number in numbers:
        assert streams.receive(number, len(str(number)) * 500) == str(number).encode() * 500
    assert {message.flags for message in peer.messages[1:]} == {0}
    peer.close()


def test_no_message_has_more_than_a_kilobyte_and_no_two_come_at_once(task: ExecTask) -> None:
    peer = task.connect()
    streams = Streams(peer)
    number = streams.open()
    began = time.monotonic()
    streams.send(number, bytes(300_000))
    streams.receive(number, 300_000)
    assert elapsed(began) > 300 * 0.001
    assert max(len(message.payload) for message in peer.messages) == 1024
    peer.close()


def test_input_before_the_end_of_the_handshake_is_acknowledged_and_dropped(task: ExecTask) -> None:
    peer = SessionPeer(task.start())
    sequence = peer.send(PayloadType.DATA, frame(Command.SYN, 3) + frame(Command.PSH, 3, b"too early"))
    peer.wait_until_acknowledged(sequence)
    peer.shake_hands()
    streams = Streams(peer)
    number = streams.open()
    streams.send(number, b"in time")
    assert streams.receive(number, 7) == b"in time"
    peer.close()


def test_a_port_that_nobody_listens_on_is_told_and_the_session_lives_on(task: ExecTask) -> None:
    peer = task.connect(CLOSED_PORT)
    streams = Streams(peer)
    for _ in range(2):
        number = streams.open()
        streams.wait_for_end(number)
    flags = [message for message in peer.messages if message.payload_type == PayloadType.FLAG]
    assert [flag_of(message) for message in flags] == [Flag.CONNECT_TO_PORT_ERROR] * 2
    peer.close()


def test_a_fin_closes_both_directions_when_what_came_before_has_arrived(task: ExecTask) -> None:
    peer = task.connect()
    streams = Streams(peer)
    number = streams.open()
    streams.finish(number)
    streams.wait_for_end(number)
    streams.send(number, b"to nobody")
    greeted = Streams(task.connect(GREETING_PORT))
    number = greeted.open()
    assert greeted.receive(number, 500) == b"hello" * 100
    greeted.wait_for_end(number)
    greeted.peer.close()
    peer.close()


def test_an_old_client_has_one_connection_at_a_time_and_nothing_around_its_bytes(task: ExecTask) -> None:
    peer = task.connect(version="1.1.69")
    for word in (b"one", b"two"):
        peer.send(PayloadType.DATA, word)
        peer.wait_for_output(word)
        peer.send(PayloadType.FLAG, flag_payload(Flag.DISCONNECT_TO_PORT))
    peer.close()
    peer = task.connect(CLOSED_PORT, version="1.1.69")
    assert peer.wait_for_end() == ""


def test_one_that_does_not_read_stops_all_streams_of_its_session(task: ExecTask) -> None:
    peer = task.connect(SLEEPY_PORT)
    streams = Streams(peer)
    asleep = streams.open()
    last = streams.send(asleep, bytes(12_000_000))
    wait_a_moment()
    assert last not in peer.acknowledged
    stuck = peer.send(PayloadType.DATA, frame(Command.NOP, 0))
    wait_a_moment()
    assert stuck not in peer.acknowledged
    task.engine.client("ssm").terminate_session(SessionId=peer.session_id)


def test_what_is_no_smux_ends_the_session(task: ExecTask) -> None:
    peer = task.connect()
    peer.send(PayloadType.DATA, b"\x02\x00\x00\x00\x03\x00\x00\x00")
    assert peer.wait_for_end() == ""


def test_a_client_may_end_the_session_by_a_flag(task: ExecTask) -> None:
    peer = task.connect()
    peer.send(PayloadType.FLAG, flag_payload(Flag.TERMINATE_SESSION))
    assert peer.wait_for_end() == ""
    peer.wait(lambda: peer.closed, "end of the WebSocket")
    assert [each.type for each in peer.others] == [CHANNEL_CLOSED]


def test_an_agent_takes_a_message_twice_where_its_acknowledgement_cannot_be_written(
    task: ExecTask, faults: Callable[..., None]
) -> None:
    peer = task.connect()
    streams = Streams(peer)
    number = streams.open()
    peer.wait_until_acknowledged(1)
    faults(ssm_double=1)
    sequence = streams.send(number, b"again")
    assert streams.receive(number, 5) == b"again"
    wait_a_moment()
    assert sequence not in peer.acknowledged
    peer.send_again(sequence)
    assert streams.receive(number, 5) == b"again"
    peer.wait_until_acknowledged(sequence)
    peer.close()


def test_acknowledgements_may_get_lost_either_way_and_nothing_else_does(
    task: ExecTask, faults: Callable[..., None]
) -> None:
    peer = task.connect()
    streams = Streams(peer)
    number = streams.open()
    peer.wait_until_acknowledged(1)
    faults(ssm_lost_ack=2)
    sequence = streams.send(number, b"word")
    assert streams.receive(number, 4) == b"word"
    peer.wait(lambda: peer.repeats, "repeat of what the agent has heard nothing of")
    assert sequence not in peer.acknowledged
    peer.send_again(sequence)
    peer.wait_until_acknowledged(sequence)
    streams.send(number, b"once")
    assert streams.receive(number, 4) == b"once"
    peer.close()

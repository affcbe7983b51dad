"""What a session says of a gateway, or an agent behind it, that is none such as AWS has."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from websockets.sync.server import serve

from pytest_fargate_sandbox.leaves.errors import ConfigError, TransportError
from pytest_fargate_sandbox.leaves.session_message import (
    CHANNEL_CLOSED,
    INPUT,
    OUTPUT,
    PayloadType,
    acknowledgement,
    decode,
    encode,
    state_message,
    stream_message,
)
from pytest_fargate_sandbox.leaves.smux_frames import FIRST_STREAM, Command
from pytest_fargate_sandbox.leaves.smux_frames import encode as smux_encode
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.providers.ssm import session_carrier, ssm_session
from pytest_fargate_sandbox.providers.ssm.port_framing import PortFraming
from pytest_fargate_sandbox.providers.ssm.session_calls import StartedSession
from pytest_fargate_sandbox.providers.ssm.session_carrier import SessionCarrier
from pytest_fargate_sandbox.providers.ssm.ssm_session import SsmSession
from pytest_fargate_sandbox.server.tunnel.records import BEAT, RecordWriter
from tests.fault_proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from websockets.sync.server import ServerConnection


class Calls(list[str]):
    """What the control plane was asked, as words."""

    ca_bundle = ""

    def call_once(self, service: str, operation: str, **asked: str) -> dict[str, str]:
        self.append(" ".join((service, operation, *asked.values())))
        return {"TokenValue": "again"}


def carrier_at(url: str, calls: Calls | None = None, name: str = "odd") -> SessionCarrier:
    aws = cast("Any", Calls() if calls is None else calls)
    return SessionCarrier(aws, StartedSession(name, "token", url), PortFraming(), b"POST / HTTP/1.1")


def session_at(url: str, calls: Calls | None = None) -> SsmSession:
    return SsmSession(carrier_at(url, calls))


@contextmanager
def gateway(*frames: bytes | str, hear: Callable[[ServerConnection, bytes], None] = lambda *_: None) -> Iterator[str]:
    """Says that to whoever has opened his channel, and hears what he says then."""

    def part(connection: ServerConnection) -> None:
        connection.recv()
        for frame in frames:
            connection.send(frame)
        for frame in connection:
            hear(connection, cast("bytes", frame))

    with serve(part, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
        server.shutdown()
        thread.join(10)


def asks(version: str, *actions: str) -> bytes:
    wanted = [{"ActionType": action, "ActionParameters": {}} for action in actions]
    request = {"AgentVersion": version, "RequestedClientActions": wanted}
    return encode(stream_message(OUTPUT, 0, PayloadType.HANDSHAKE_REQUEST, json.dumps(request).encode()))


def says(payload_type: int, payload: bytes, number: int = 0) -> bytes:
    return encode(stream_message(OUTPUT, number, payload_type, payload))


def opening(connection: ServerConnection, frame: bytes) -> None:
    """A tunnel that answers well, and takes all that comes then."""
    message = decode(frame)
    if message.type != INPUT:
        return
    connection.send(encode(acknowledgement(message)))
    if message.payload_type == PayloadType.HANDSHAKE_RESPONSE:
        connection.send(says(PayloadType.HANDSHAKE_COMPLETE, b"{}", 1))
    elif b"POST" in message.payload:
        answer = b"HTTP/1.1 200 OK\r\n\r\n" + RecordWriter().record(BEAT, 0)
        connection.send(says(PayloadType.DATA, smux_encode(Command.PSH, FIRST_STREAM, answer), 2))


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (asks("3.0.196.0", "SessionType"), "agent in the task is 3.0.196.0, .* a newer platform version has it"),
        (asks("", "SessionType"), "of no known version"),
        (asks("three", "SessionType"), "agent in the task is three"),
        (asks("3.3.0.\u00b2", "SessionType"), "agent in the task is 3.3.0.\u00b2"),
        (asks("x" * 5000, "SessionType"), "agent in the task is x{1,50}, "),
        (says(PayloadType.HANDSHAKE_REQUEST, b'{"AgentVersion":"3.3.0.0","RequestedClientActions":5}'), "has none of"),
        (asks("3.3.0.0", "SessionType", "KMSEncryption"), "wants KMSEncryption of the session, which it cannot have"),
        (says(PayloadType.DATA, b"", 30), "has lost 30 messages, and another one is quicker"),
        (b"of another version", "is not the other end of our tunnel"),
        (b"\xff" * 200, "is not the other end of our tunnel"),
        (says(PayloadType.DATA, b"\x02\x09" + bytes(30)), "is not the other end of our tunnel"),
        (says(PayloadType.HANDSHAKE_REQUEST, b"[1"), "is not the other end of our tunnel|of no known version"),
        (encode(state_message(CHANNEL_CLOSED, {"Output": "Plugin is gone"})), "the session was ended: Plugin is gone"),
    ],
)
def test_it_is_told_in_a_sentence(frame: bytes, sentence: str) -> None:
    with gateway(frame) as url, pytest.raises(TransportError, match=sentence):
        session_at(url).open(5)


def test_messages_that_nobody_knows_are_passed_over_and_silence_has_an_end() -> None:
    told = encode(state_message("of_the_future", {"x": 1}))
    with gateway(told) as url, pytest.raises(TransportError, match="nothing answers in the session within 0 s"):
        session_at(url).open(0.4)


def test_a_region_where_it_is_not_is_named_by_its_host() -> None:
    with pytest.raises(TransportError, match=r"no connection to ssmmessages.nowhere.invalid, .* in this region"):
        session_at("wss://ssmmessages.nowhere.invalid/v1/data-channel/x").open(5)


def test_a_proxy_that_is_of_no_use_ends_the_start_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "https://proxy.invalid:1")
    with pytest.raises(ConfigError, match="HTTPS_PROXY"):
        session_at("wss://ssmmessages.nowhere.invalid/v1/data-channel/x").open(5)


def test_an_end_that_takes_all_and_answers_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssm_session, "_ASK_SEC", 0.1)
    monkeypatch.setattr(session_carrier, "_LOOK_SEC", 0.05)
    with gateway(asks("3.3.0.0", "SessionType"), hear=opening) as url:
        session = session_at(url)
        session.open(10)
        with pytest.raises(TransportError, match="the tunnel has ended"):
            session.outer.dial(1, 20)
        assert "answers nothing any more" in session.why
        session.close()


def test_a_gateway_that_falls_silent_at_work_is_soon_left() -> None:
    """Also where nothing of ours waits for an answer: somebody may wait for what the other side has to say."""
    calls = Calls()
    with (
        gateway(asks("3.3.0.0", "SessionType"), hear=opening) as url,
        FaultProxy(("127.0.0.1", urllib.parse.urlsplit(url).port or 0)) as proxy,
    ):
        session = session_at(f"ws://127.0.0.1:{proxy.port}/", calls)
        session.open(10)
        began = time.monotonic()
        proxy.swallow()
        wait_until(lambda: calls or None, deadline=10, what="another try")
        assert calls == ["ssm ResumeSession odd"]
        assert 1 < time.monotonic() - began < 3
        session.close()
    settled(calls)


def test_who_waits_for_an_answer_of_a_silent_gateway_has_it_asked_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_carrier, "_SILENT_SEC", 3.5)
    with (
        gateway(asks("3.3.0.0", "SessionType"), hear=opening) as url,
        FaultProxy(("127.0.0.1", urllib.parse.urlsplit(url).port or 0)) as proxy,
    ):
        carrier = carrier_at(f"ws://127.0.0.1:{proxy.port}/")
        session = SsmSession(carrier)
        session.open(10)
        proxy.swallow()
        began = time.monotonic()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(session.outer.dial, 1, 5.0).add_done_callback(lambda dialled: dialled.exception())
            wait_until(lambda: carrier._asked or None, deadline=10, what="a question to the gateway")
            assert 0.4 < carrier._asked - began < 1.1
            session.close()


ENDED = "ssm TerminateSession odd"


def settled(calls: Calls) -> Calls:
    """When nobody is ending sessions any more."""
    for thread in threading.enumerate():
        if thread.name.startswith("end of session"):
            thread.join(10)
    return calls


def deaf_to_farewells(connection: ServerConnection, frame: bytes) -> None:
    if (message := decode(frame)).payload_type != PayloadType.FLAG:
        opening(connection, frame)
    elif message.type == INPUT:
        connection.close()


@pytest.mark.parametrize(("hear", "asked"), [(opening, []), (deaf_to_farewells, [ENDED])])
def test_a_session_that_is_cut_as_it_ends_is_ended_by_the_control_plane_and_no_other(
    hear: Callable[[ServerConnection, bytes], None], asked: list[str]
) -> None:
    calls = Calls()
    with gateway(asks("3.3.0.0", "SessionType"), hear=hear) as url:
        session = session_at(url, calls)
        session.open(10)
        session.close()
        assert settled(calls) == asked


def test_a_session_that_does_not_come_up_is_ended_by_the_control_plane() -> None:
    calls = Calls()
    with gateway() as url, pytest.raises(TransportError, match="nothing answers"):
        session_at(url, calls).open(0.1)
    assert settled(calls) == [ENDED]


def test_each_part_of_a_tunnel_is_ended_whatever_comes_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, first, told = Calls(), carrier_at(""), threading.Event()
    session = SsmSession(first, told.set)
    session._carriers.append(carrier_at("", calls))
    monkeypatch.setattr(first, "say_farewell", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        session._end()
    assert settled(calls) == [ENDED]
    assert told.is_set()
    assert not session._turns.call(lambda: None)


def test_where_there_are_no_more_threads_a_session_does_not_begin_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    session = session_at("")
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(TransportError, match="can't start new thread"):
        session.open(1)
    assert not session.is_alive

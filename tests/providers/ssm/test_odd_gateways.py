"""What a session says of a gateway, or an agent behind it, that is none such as AWS has."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from websockets.sync.server import serve

from pytest_fargate_sandbox.leaves.errors import ConfigError, TransportError
from pytest_fargate_sandbox.leaves.session_message import (
    CHANNEL_CLOSED,
    OUTPUT,
    PayloadType,
    encode,
    state_message,
    stream_message,
)
from pytest_fargate_sandbox.providers.ssm.port_framing import PortFraming
from pytest_fargate_sandbox.providers.ssm.session_calls import StartedSession
from pytest_fargate_sandbox.providers.ssm.session_carrier import SessionCarrier
from pytest_fargate_sandbox.providers.ssm.ssm_session import SsmSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.server import ServerConnection


def session_at(url: str) -> SsmSession:
    aws = cast("Any", SimpleNamespace(ca_bundle=""))
    return SsmSession(SessionCarrier(aws, StartedSession("odd", "token", url), PortFraming(), b"POST / HTTP/1.1"))


@contextmanager
def gateway(*frames: bytes | str) -> Iterator[str]:
    """Says that to whoever has opened his channel."""

    def part(connection: ServerConnection) -> None:
        connection.recv()
        for frame in frames:
            connection.send(frame)
        for _ in connection:
            pass

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


def says(payload_type: int, payload: bytes) -> bytes:
    return encode(stream_message(OUTPUT, 0, payload_type, payload))


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

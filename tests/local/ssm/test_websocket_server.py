"""What comes in where sessions' WebSockets do, and is none, or a bad one."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import time
import urllib.parse
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.local.ssm.session_peer import Streams

if TYPE_CHECKING:
    from tests.local.ssm.exec_task import ExecTask

_UPGRADE = (
    "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
"""The key, and the answer below, are RFC 6455's own example."""


def dial(url: str, headers: str = _UPGRADE) -> tuple[socket.socket, bytes]:
    """A connection, and the head of the answer."""
    parts = urllib.parse.urlsplit(url)
    assert parts.port is not None
    connection = socket.create_connection(("127.0.0.1", parts.port), timeout=10)
    connection.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    head = bytearray()
    while b"\r\n\r\n" not in head:
        part = connection.recv(1)
        assert part, bytes(head)
        head += part
    return connection, bytes(head)


def frame(opcode: int, payload: bytes, *, last: bool = True, mask: bytes = b"abcd") -> bytes:
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes([(0x80 if last else 0) | opcode]) + length + mask + masked


def read_frame(connection: socket.socket) -> tuple[int, bytes]:
    def read(size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = connection.recv(size - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    opcode, size = read(2)
    if size == 126:
        (size,) = struct.unpack(">H", read(2))
    return opcode & 0x0F, read(size)


def opening(token: str) -> bytes:
    return json.dumps({"MessageSchemaVersion": 1, "RequestId": "r", "TokenValue": token}).encode()


def test_it_answers_as_the_rfc_has_it_and_takes_messages_in_pieces_with_pings_between(task: ExecTask) -> None:
    opened = task.start()
    connection, head = dial(opened["StreamUrl"])
    with closing(connection):
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        text = opening(opened["TokenValue"])
        connection.sendall(frame(1, text[:10], last=False) + frame(9, b"ping") + frame(0, text[10:]))
        assert read_frame(connection) == (10, b"ping")
        opcode, message = read_frame(connection)
        assert (opcode, message[4:36].strip()) == (2, b"output_stream_data")
        connection.sendall(frame(8, struct.pack(">H", 1000)))
        while (received := read_frame(connection))[0] != 8:
            pass
        assert received == (8, struct.pack(">H", 1000))


@pytest.mark.parametrize("headers", ["", _UPGRADE.replace("13", "8"), _UPGRADE.replace("websocket", "h2c")])
def test_what_is_no_websocket_gets_an_http_answer(task: ExecTask, headers: str) -> None:
    connection, head = dial(task.start()["StreamUrl"], headers)
    connection.close()
    assert head.startswith(b"HTTP/1.1 400 ")


def test_a_session_that_is_not_there_is_told_before_the_upgrade(task: ExecTask) -> None:
    url = task.start()["StreamUrl"].replace("/local-", "/local-0")
    connection, head = dial(url)
    connection.close()
    assert head.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x82\x05hello", 1002),  # without a mask
        (frame(0x0B, b""), 1002),
        (frame(0, b"of nothing"), 1002),
        (frame(9, b"x" * 126), 1002),
        (b"\xc1\x80abcd", 1002),  # an extension
        (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"abcd", 1009),
        (frame(2, b"not text"), 1008),
        (frame(1, b'{"TokenValue": 5, "MessageSchemaVersion": "1.0"}'), 1008),
        (frame(1, b'{"TokenValue": "\\ud800", "MessageSchemaVersion": "1.0"}'), 1008),
        (frame(1, b"[" * 60_000), 1008),
    ],
)
def test_who_breaks_the_rules_is_told_which_and_hung_up_on(task: ExecTask, sent: bytes, code: int) -> None:
    connection, _ = dial(task.start()["StreamUrl"])
    with closing(connection):
        connection.sendall(sent)
        opcode, payload = read_frame(connection)
        assert (opcode, struct.unpack(">H", payload[:2])[0]) == (8, code)


def test_who_is_still_talking_when_a_session_ends_hears_its_last_words(task: ExecTask) -> None:
    opened = task.start()
    connection, _ = dial(opened["StreamUrl"])
    with closing(connection):
        connection.sendall(frame(1, opening(opened["TokenValue"])))
        read_frame(connection)
        task.engine.client("ssm").terminate_session(SessionId=opened["SessionId"])
        for _ in range(5):  # as an acknowledgement of what came before
            connection.sendall(frame(2, b"x" * 200))
            time.sleep(0.02)
        while (received := read_frame(connection))[1][4:36].strip() != b"channel_closed":
            assert received[0] != 8


def test_no_garbage_harms_other_sessions_or_the_agent(task: ExecTask) -> None:
    bystander = Streams(task.connect())
    number = bystander.open()
    dice = random.Random(3)
    for _ in range(30):
        opened = task.start()
        connection, _ = dial(opened["StreamUrl"])
        with closing(connection):
            connection.sendall(frame(1, opening(opened["TokenValue"])))
            read_frame(connection)
            for _ in range(10):
                message = bytearray(os.urandom(dice.randrange(400)))
                head = struct.pack(">I32sIQqQ", 116, b"input_stream_data", 1, 1, dice.randrange(-2, 3), 0)
                message[: len(head)] = head[: dice.choice((0, len(head)))]
                connection.sendall(frame(2, bytes(message)))
        task.engine.client("ssm").terminate_session(SessionId=opened["SessionId"])
    bystander.send(number, b"still here")
    assert bystander.receive(number, 10) == b"still here"
    bystander.peer.close()

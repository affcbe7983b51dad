"""A client of sessions, on the library ``websockets``: as little as it takes to speak to the gateway, and to see how
an agent behaves. It acknowledges, drops repeats, and sends again only when it is told to.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from contextlib import ExitStack, suppress
from socket import SHUT_RDWR
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from pytest_fargate_sandbox.leaves.session_message import (
    ACKNOWLEDGE,
    CHANNEL_CLOSED,
    INPUT,
    OUTPUT,
    PayloadType,
    SessionMessage,
    acknowledged_sequence,
    acknowledgement,
    content_of,
    decode,
    encode,
    stream_message,
)
from pytest_fargate_sandbox.leaves.smux_frames import FIRST_STREAM, Command, FrameReader
from pytest_fargate_sandbox.leaves.smux_frames import encode as frame

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SEC = 20.0


class SessionPeer:
    """Reads from the moment it is made. What came stands in ``messages``, each stream message once, in order."""

    def __init__(self, opened: dict[str, str], *, version: str = "1.2.650.0", schema: Any = "1.0") -> None:
        self.version, self.schema = version, schema
        self.acknowledges = True
        self.messages: list[SessionMessage] = []
        self.others: list[SessionMessage] = []
        self.acknowledged: list[int] = []
        self.repeats, self.connections = 0, 0
        self.sent: dict[int, bytes] = {}
        self.closed: ConnectionClosed | None = None
        self.changed = threading.Condition()
        self._early: dict[int, SessionMessage] = {}
        self._next = 0
        self.session_id = opened.get("SessionId", "")
        self.open(opened["StreamUrl"], opened["TokenValue"])

    def open(self, url: str, token: str) -> None:
        """Also again, with the token of ResumeSession."""
        self.closed = None
        self.connections += 1
        self._stack = ExitStack()
        options: dict[str, Any] = {"max_size": None, "compression": None, "ping_interval": None, "close_timeout": 1}
        self.socket = self._stack.enter_context(connect(url, open_timeout=PATIENCE_SEC, **options))
        opening = {"MessageSchemaVersion": self.schema, "RequestId": str(uuid.uuid4()), "TokenValue": token}
        self.socket.send(json.dumps({**opening, "ClientId": str(uuid.uuid4()), "ClientVersion": self.version}))
        threading.Thread(target=self._read, args=(self.socket,), daemon=True).start()

    def close(self) -> None:
        self._stack.close()

    def cut(self) -> None:
        """Without a word."""
        self.socket.socket.shutdown(SHUT_RDWR)
        self.wait(lambda: self.closed, "end of the connection")

    def send(self, payload_type: int, payload: bytes) -> int:
        message = stream_message(INPUT, self._next, payload_type, payload)
        self._next += 1
        self.sent[message.sequence] = encode(message)
        self.socket.send(self.sent[message.sequence])
        return message.sequence

    def send_again(self, *sequences: int) -> None:
        """Without any: all that was not acknowledged."""
        for sequence in sequences or sorted(set(self.sent) - set(self.acknowledged)):
            self.socket.send(self.sent[sequence])

    def wait(self, probe: Callable[[], Any], what: str, seconds: float = PATIENCE_SEC) -> Any:
        with self.changed:
            found = self.changed.wait_for(probe, seconds)
            assert found, f"no {what}: {self.messages[-3:]} {self.others[-3:]} {self.closed!r}"
            return found

    def shake_hands(self) -> dict[str, Any]:
        """What the agent asked for."""
        request = self.wait(lambda: self._of(PayloadType.HANDSHAKE_REQUEST), "handshake")[0]
        done = [{"ActionType": "SessionType", "ActionStatus": 1, "ActionResult": None, "Error": ""}]
        answer = {"ClientVersion": self.version, "ProcessedClientActions": done, "Errors": None}
        self.send(PayloadType.HANDSHAKE_RESPONSE, json.dumps(answer).encode())
        self.wait(lambda: self._of(PayloadType.HANDSHAKE_COMPLETE), "end of the handshake")
        return content_of(request)

    def output(self) -> bytes:
        return b"".join(message.payload for message in self._of(PayloadType.DATA))

    def wait_for_output(self, end: bytes) -> bytes:
        output: bytes = self.wait(lambda: end in self.output() and self.output(), f"{end!r}")
        return output

    def wait_until_acknowledged(self, sequence: int) -> None:
        self.wait(lambda: sequence in self.acknowledged, f"acknowledgement of {sequence}")

    def wait_for_end(self) -> str:
        """The last words of the session."""
        closed = self.wait(lambda: [each for each in self.others if each.type == CHANNEL_CLOSED], "channel_closed")
        return str(content_of(closed[0])["Output"])

    def _of(self, payload_type: int) -> list[SessionMessage]:
        return [message for message in self.messages if message.payload_type == payload_type]

    def _read(self, socket: Any) -> None:
        try:
            for received in socket:
                self._take(decode(received))
        except ConnectionClosed as closed:
            with self.changed:
                self.closed = closed
                self.changed.notify_all()
        else:
            with self.changed:
                self.closed = socket.protocol.close_exc
                self.changed.notify_all()

    def _take(self, message: SessionMessage) -> None:
        assert message.is_intact
        with self.changed:
            if message.type == ACKNOWLEDGE:
                self.acknowledged.append(acknowledged_sequence(message))
            elif message.type != OUTPUT:
                self.others.append(message)
            else:
                self._take_output(message)
            self.changed.notify_all()

    def _take_output(self, message: SessionMessage) -> None:
        if not self.acknowledges:
            return
        with suppress(ConnectionClosed):  # what came before the end is still to be read
            self.socket.send(encode(acknowledgement(message)))
        if message.sequence < len(self.messages) or message.sequence in self._early:
            self.repeats += 1
            return
        self._early[message.sequence] = message
        while len(self.messages) in self._early:
            self.messages.append(self._early.pop(len(self.messages)))


class Streams:
    """smux over a peer, each frame a message of its own."""

    def __init__(self, peer: SessionPeer) -> None:
        self.peer = peer
        self._next = FIRST_STREAM
        self._reader, self._read = FrameReader(), 0
        self.data: dict[int, bytearray] = {}
        self.ended: set[int] = set()

    def open(self) -> int:
        number, self._next = self._next, self._next + 2
        self.data[number] = bytearray()
        self.peer.send(PayloadType.DATA, frame(Command.SYN, number))
        return number

    def send(self, number: int, data: bytes) -> int:
        for start in range(0, len(data), 1000):
            sequence = self.peer.send(PayloadType.DATA, frame(Command.PSH, number, data[start : start + 1000]))
        return sequence

    def finish(self, number: int) -> None:
        self.peer.send(PayloadType.DATA, frame(Command.FIN, number))

    def receive(self, number: int, size: int, seconds: float = PATIENCE_SEC) -> bytes:
        self.peer.wait(lambda: self._look() or len(self.data[number]) >= size, f"{size} bytes of {number}", seconds)
        data = bytes(self.data[number][:size])
        del self.data[number][:size]
        return data

    def so_far(self, number: int) -> bytes:
        with self.peer.changed:
            self._look()
            return bytes(self.data[number])

    def receive_or_end(self, number: int, size: int) -> bytes:
        self.peer.wait(lambda: self._look() or number in self.ended or len(self.data[number]) >= size, "answer")
        return bytes(self.data[number])

    def wait_for_end(self, number: int) -> None:
        self.peer.wait(lambda: self._look() or number in self.ended, f"end of {number}")

    def _look(self) -> None:
        messages = self.peer.messages
        while self._read < len(messages):
            message = messages[self._read]
            self._read += 1
            if message.payload_type != PayloadType.DATA:
                continue
            for command, number, data in self._reader.feed(message.payload):
                if command is Command.PSH and number in self.data:
                    self.data[number] += data
                elif command is Command.FIN:
                    self.ended.add(number)


def elapsed(began: float) -> float:
    return time.monotonic() - began

"""One session as the gateway has it: the client's WebSocket, the agent's data channel, and what passes between them.

Either may be gone for a while: what comes then for it is dropped, since each end sends again what nobody acknowledged.
"""

from __future__ import annotations

import hmac
import json
import secrets
import socket
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.session_message import (
    CHANNEL_CLOSED,
    INPUT,
    OUTPUT,
    PAUSE_PUBLICATION,
    SESSION_STATE,
    START_PUBLICATION,
    encode,
    state_message,
)
from pytest_fargate_sandbox.leaves.sockets import wake, with_last_words
from pytest_fargate_sandbox.local.ssm.relay_faults import DelayLine, RelayFaults, message_type
from pytest_fargate_sandbox.local.ssm.relay_words import DIAL, LARGEST_PACKET, Mark
from pytest_fargate_sandbox.local.ssm.websocket_server import Close, Opcode

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.faults import Faults
    from pytest_fargate_sandbox.local.ssm.agent_link import AgentLink
    from pytest_fargate_sandbox.local.ssm.websocket_server import WebSocket

_DRAIN_SEC = 2.0
_FIRST_DIAL_SEC = 5.0
_LATECOMER_SEC = 10.0
_DATA_TYPES = (INPUT.encode(), OUTPUT.encode())
_SCHEMAS = ("1.0", 1)
"""A client of PyPI's sends the number."""


class ManagedSession:
    """``on_end`` is called once, when the session is over for good."""

    def __init__(
        self, identifier: str, agent: AgentLink, faults: Faults, on_end: Callable[[ManagedSession], None]
    ) -> None:
        self.id, self.agent = identifier, agent
        self.token = secrets.token_urlsafe(96)
        self.active_at = self.client_since = self.agent_since = time.monotonic()
        """The last two are set before what they are about, so that nothing new is taken for old."""
        self._on_end = on_end
        self._faults, self._faults_of_agent = RelayFaults(faults), RelayFaults(faults)
        self._changed = threading.Condition()
        self._client: WebSocket | None = None
        self._was_joined = False
        self._agent_end: socket.socket | None = None
        self._agent_reader: threading.Thread | None = None
        self._door, self._agents_door = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._is_ending = self._is_over = False
        self._to_agent = DelayLine(self._hand_to_agent, lambda: self._faults.delay)
        self._to_client = DelayLine(self._hand_to_client, lambda: self._faults.delay)

    def start(self, request: dict[str, Any]) -> None:
        """Raises ``OSError`` where the agent has just gone."""
        threading.Thread(target=self._answer_door, name="ssm-door", daemon=True).start()
        try:
            self.agent.order({"session": self.id, **request}, self._agents_door.fileno())
        finally:
            self._agents_door.close()

    def renew_token(self) -> str:
        self.token = secrets.token_urlsafe(96)
        return self.token

    # --- the client --------------------------------------------------------------------------------------------------

    def serve(self, client: WebSocket, on_joined: Callable[[], None]) -> None:
        """In the client's own thread, as long as the WebSocket is good."""
        first = client.receive()
        if first is None or first.opcode is not Opcode.TEXT or not self._admits(first.payload):
            client.close(Close.POLICY_VIOLATION, "the first message is none that opens this data channel")
            return
        on_joined()
        self._join(client)
        while (received := client.receive()) is not None:
            if received.opcode is Opcode.BINARY:
                self._to_agent.put(received.payload)
        with self._changed:
            if self._client is client:
                self._client = None
                self._tell_agent(PAUSE_PUBLICATION)

    def _admits(self, opening: bytes) -> bool:
        """A token opens once: whoever comes again has asked for another by ResumeSession."""
        try:
            given = json.loads(opening)
            token, schema = given["TokenValue"], given["MessageSchemaVersion"]
            is_right = schema in _SCHEMAS and hmac.compare_digest(token.encode(), self.token.encode())
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return False
        with self._changed:
            if is_right and not self._is_over:
                self.token = secrets.token_urlsafe(96)
                return True
        return False

    def _join(self, client: WebSocket) -> None:
        with self._changed:
            self.client_since = time.monotonic()
            former, self._client = self._client, client
            if self._was_joined:
                self._tell_agent(START_PUBLICATION)
            self._was_joined = True
            self._changed.notify_all()
            # What a quick client sends before the agent's very first connection would be lost.
            self._changed.wait_for(lambda: self._agent_end is not None or self._is_over, _FIRST_DIAL_SEC)
        if former is not None:
            former.close(Close.NORMAL, "Bye")

    def _hand_to_agent(self, frame: bytes) -> None:
        end = self._agent_end
        if end is None or self._faults.loses(frame):
            return
        if message_type(frame) in _DATA_TYPES:
            self.active_at = time.monotonic()
        try:
            end.send(bytes((self._faults.mark(frame),)) + frame)
        except OSError:  # it is gone, or is so large that the kernel takes it not: the client hears of nothing
            pass

    # --- the agent ---------------------------------------------------------------------------------------------------

    def _answer_door(self) -> None:
        while True:
            try:
                if self._door.recv(len(DIAL)) != DIAL:
                    break
                self._give_channel()
            except OSError:
                break
        self._door.close()

    def _give_channel(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(self._door, [DIAL], [theirs.fileno()])
        with self._changed:
            self.agent_since = time.monotonic()
            former, self._agent_end = self._agent_end, ours
            reader = threading.Thread(target=self._relay_output, args=(ours,), name="ssm-relay", daemon=True)
            reader.start()
            self._agent_reader = reader
            self._changed.notify_all()
        if former is not None:
            wake(former)

    def _relay_output(self, end: socket.socket) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._was_joined or self._is_over)
        buffer = memoryview(bytearray(LARGEST_PACKET))
        while True:
            try:
                size = with_last_words(lambda: end.recv_into(buffer))
            except OSError:
                size = 0
            if not size:
                break
            self._to_client.put(bytes(buffer[:size]))
        with self._changed:
            if self._agent_end is end:
                self._agent_end = None
        end.close()

    def _hand_to_client(self, frame: bytes) -> None:
        kind = message_type(frame)
        if kind == SESSION_STATE.encode():
            self.end_by_itself("")
            return
        if kind in _DATA_TYPES:
            self.active_at = time.monotonic()
        client = self._client
        if client is not None and not self._faults_of_agent.loses(frame):
            client.send(Opcode.BINARY, frame)

    def _tell_agent(self, message_type: str) -> None:
        content = {"SchemaVersion": 1, "SessionId": self.id, "MessageType": message_type}
        packet = bytes((Mark.NONE,)) + encode(state_message(message_type, content))
        try:
            if self._agent_end is not None:
                self._agent_end.send(packet, socket.MSG_DONTWAIT)
        except OSError:
            pass

    # --- how it breaks, and ends -------------------------------------------------------------------------------------

    def cut_client(self, *, politely: bool = False) -> None:
        client = self._client
        if client is not None and politely:
            client.close(Close.NORMAL, "Bye")
        elif client is not None:
            client.cut()

    def cut_agent(self) -> None:
        with self._changed:
            if self._agent_end is not None:
                wake(self._agent_end)

    def end_by_itself(self, output: str) -> None:
        """As its agent tells, in a thread of its own. Who comes late shall hear of it."""
        threading.Thread(target=self.end, args=(output, _LATECOMER_SEC), name="ssm-end", daemon=True).start()

    def end(self, output: str, latecomer_sec: float = 0.0) -> None:
        """``output`` is what the client shall read."""
        with self._changed:
            if self._is_ending:
                return
            self._is_ending = True
            self._changed.wait_for(lambda: self._was_joined, latecomer_sec)
            self._is_over = True
            self._tell_agent(CHANNEL_CLOSED)
            self._changed.notify_all()
        if self._agent_reader is not None:
            self._agent_reader.join(_DRAIN_SEC)  # what it has said comes before the end
        wake(self._door)
        self.cut_agent()
        client = self._client
        if client is not None:
            client.close(Close.NORMAL, "Bye", encode(state_message(CHANNEL_CLOSED, self._last_words(output))))
        self._on_end(self)

    def _last_words(self, output: str) -> dict[str, Any]:
        return {
            "MessageId": str(uuid.uuid4()),
            "DestinationId": self.id,
            "SessionId": self.id,
            "MessageType": CHANNEL_CLOSED,
            "SchemaVersion": 1,
            "CreatedDate": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "Output": output,
        }

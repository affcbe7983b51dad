"""One session of a tunnel: a WebSocket that may be cut and is resumed, and the records that go by it at AWS's pace."""

from __future__ import annotations

import logging
import time
import urllib.parse
from typing import TYPE_CHECKING, Protocol

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.session_message import (
    CHANNEL_CLOSED,
    Flag,
    PayloadType,
    content_of,
    flag_payload,
)
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.ssm.data_channel import DataChannel
from pytest_fargate_sandbox.providers.ssm.handshake import opening_frame
from pytest_fargate_sandbox.providers.ssm.session_calls import fresh_token
from pytest_fargate_sandbox.providers.ssm.sessions_to_end import end_aside
from pytest_fargate_sandbox.providers.ssm.web_socket import WebSocket, WebSocketEnded
from pytest_fargate_sandbox.server.awaited_server import TOO_EARLY
from pytest_fargate_sandbox.server.tunnel.ready_sockets import READABLE, WRITABLE

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from pytest_fargate_sandbox.leaves.session_message import SessionMessage
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.providers.ssm.bridge_framing import BridgeFraming
    from pytest_fargate_sandbox.providers.ssm.port_framing import PortFraming
    from pytest_fargate_sandbox.providers.ssm.session_calls import StartedSession
    from pytest_fargate_sandbox.server.tunnel.ready_sockets import Turns

MESSAGE_BYTES = 1024
"""As the official client sends them; what the service takes beyond that is not written anywhere."""
_PACE_SEC = 0.0012
"""Between two messages: the official client sleeps 1 ms, which takes 1.06 to 1.6. Those that went faster on AWS report
stalls: https://github.com/aws/session-manager-plugin/issues/145
"""
_CATCH_UP_SEC = 0.005
"""A thread that woke late makes up for so much of it."""

_CONNECT_SEC = 10.0
_SILENT_SEC = 1.6
"""Nothing comes for so long, though something must: the connection is dead, whatever TCP says, which has itself sent
everything two or three times by then. A third of it, and the gateway is asked; all of it where nothing of ours waits
for an answer and nothing came lately: somebody may wait for what the other side has to say, and that may be lost."""
_WAITS_SHARE = 1 / 7
"""Of it, in place of a third, where something of ours waits: to ask is cheap, and the answer has as long as ever."""
_LATELY_SEC = 10.0
"""Two heartbeats of a command that says nothing."""
_DEAD_SEC = 30.0
"""The connection is well, and nothing of ours is acknowledged: there is no agent any more."""
_MOST_MISSING = 10
"""Messages of the agent's, which takes a second to send so many again: another session is there as soon, and sooner."""
_RESUME_SEC = 60.0
_FRUITLESS = 20
"""Connections in a row on which nothing came."""
KILLED = (
    "whoever is root there can kill it (`kill -9 -1` does), and ECS looks for a dead one only every 15 minutes: start "
    "another sandbox"
)
_LOOK_SEC, _SHORTEST_LOOK_SEC = 1.0, 0.05
_MOST_ANSWER = 64 * 1024

_log = logging.getLogger(__name__)


class ServerAwaited(TransportError):
    """What answers there waits for a server to be brought."""


class Records(Protocol):
    """What goes by a carrier: ``Passage`` is one."""

    def next_record(self) -> bytes: ...


class SessionCarrier:
    """``connect`` is for any thread; all else is the business of the one that serves ``turns``, once it ``begin``s.

    ``opening`` is what makes it a carrier, and ``greeting`` what is said when that was answered well; ``number`` is the
    one that it names, and 0 is the first one's.
    """

    def __init__(
        self,
        aws: Aws,
        session: StartedSession,
        framing: PortFraming | BridgeFraming,
        opening: bytes,
        number: int = 0,
        greeting: bytes = b"",
    ) -> None:
        self.id = session.id
        self.number = number
        self.is_leaving = self.is_over = False
        self.carries = False
        """Whether records may go by it."""
        self.most = framing.most(MESSAGE_BYTES)
        """How long a record may be that goes in."""
        self._aws = aws
        self._session = session
        self._framing = framing
        self._opening = opening
        self._greeting = greeting
        self._channel = DataChannel()
        self._turns: Turns | None = None
        self._socket: WebSocket | None = None
        self._answer = bytearray()
        self._has_answer = False
        self._has_said_farewell = self._is_ended = False
        self._fruitless = 0
        self._next_send = self._heard = self._last_data = self._asked = 0.0

    def connect(self) -> None:
        """Raises ``TransportError``, and ``ConfigError`` where a proxy is none that can be used."""
        try:
            self._connect(self._session.token)
        except (OSError, WebSocketEnded) as error:
            host = urllib.parse.urlsplit(self._session.url).hostname
            raise TransportError(
                f"no connection to {host}, where sessions are: {error}; is the Session Manager in this region, and can "
                "it be reached from here (network, proxy, a VPC endpoint for ssmmessages)?"
            ) from error

    def begin(
        self,
        turns: Turns,
        hear: Callable[[bytes], None],
        closing: threading.Event,
        resumed: Callable[[], None] = lambda: None,
    ) -> None:
        """``hear`` is told what comes by it; ``resumed`` is called when it has another connection."""
        self._turns, self._hear_records, self._closing, self._resumed = turns, hear, closing, resumed
        self._watch()

    @property
    def round_trip(self) -> float:
        return self._channel.round_trip

    @property
    def is_used(self) -> bool:
        return self.carries and not self.is_leaving

    # --- turn by turn -----------------------------------------------------------------------------------------------

    def patience(self, has_more: bool) -> float:
        """How long nothing has to be done unless something comes."""
        now = time.monotonic()
        wait = self._channel.tick(now)
        if self.is_used and has_more and self._channel.room > 0:
            return max(0.0, self._next_send - now)
        return min(max(self._life_is_due - now, _SHORTEST_LOOK_SEC), _LOOK_SEC if wait is None else wait)

    def serve(self, records: Records, now: float) -> int:
        """Send what is due. How many bytes of records that was."""
        try:
            sent = self._send_records(records, now) if self.is_used else 0
            self._flush()
            self._check_life(now)
        except TransportError:
            self._give_up()
            return 0
        return sent

    def _send_records(self, records: Records, now: float) -> int:
        sent = 0
        while now >= self._next_send and self._channel.room > 0:
            record = records.next_record()
            if not record:
                break
            self._send(PayloadType.DATA, self._framing.wrap(record))
            self._next_send = max(self._next_send, now - _CATCH_UP_SEC) + _PACE_SEC
            sent += len(record)
        return sent

    def _send(self, kind: int, payload: bytes) -> None:
        self._channel.send(kind, payload, time.monotonic())

    def _flush(self) -> None:
        socket, outgoing = self._socket, self._channel.outgoing
        if socket is None:
            return
        try:
            while outgoing:
                socket.send(outgoing.popleft())
            socket.flush()
        except WebSocketEnded as error:
            self._reconnect(str(error))
            return
        self._watch()

    def _watch(self) -> None:
        if self._socket and self._turns:
            mask = READABLE | (WRITABLE if self._socket.has_pending else 0)
            self._turns.watch(self._socket.sock, mask, self._receive)

    # --- what comes -------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
        try:
            self._receive_messages()
        except TransportError:
            self._give_up()

    def _give_up(self) -> None:
        """In an ``except``: where it ends, so does the tunnel, but for one by which nothing went yet."""
        if self.carries or not self.number:
            raise
        self.is_over = True

    def _receive_messages(self) -> None:
        assert self._socket is not None
        now = time.monotonic()
        try:
            frames = self._socket.receive()
        except WebSocketEnded as error:
            self._reconnect(str(error))
            return
        self._heard, self._asked = now, 0.0
        if frames:
            self._fruitless = 0
        for frame in frames:
            for message in self._channel.take(frame, now):
                self._take(message)
        if self._channel.missing > _MOST_MISSING:
            raise TransportError(f"the session has lost {self._channel.missing} messages, and another one is quicker")
        self._flush()

    def _take(self, message: SessionMessage) -> None:
        if message.type == CHANNEL_CLOSED:
            self._is_ended = True
            if self._has_said_farewell:
                return
            said = str(content_of(message).get("Output") or "").strip()
            raise TransportError(f"the session was ended{': ' + said[:300] if said else ' from the other side'}")
        self._framing.take(message, self._send, self._hear, self._opening)

    def _hear(self, data: bytes) -> None:
        self._last_data = self._heard
        self._hear_records(data if self._has_answer else self._behind_answer(data))

    def _behind_answer(self, data: bytes) -> bytes:
        """What comes once the opening was answered well."""
        self._answer += data
        head, mark, rest = bytes(self._answer).partition(b"\r\n\r\n")
        if not mark and len(self._answer) < _MOST_ANSWER:
            return b""
        status = head.split(b"\r\n")[0].split(b" ")[1:2]
        if status == [b"%d" % TOO_EARLY]:
            raise ServerAwaited("the task still waits for its server")
        if status != [b"200"]:
            is_stranger = status == [b"401"]
            raise TransportError(
                "the exec server does not take our token: it is another sandbox's"
                if is_stranger
                else f"the exec server opens no tunnel: {head[:100].decode('latin-1')!r}"
            )
        self._has_answer = True
        if self._greeting:
            self._send(PayloadType.DATA, self._framing.wrap(self._greeting))
        self.carries = self.carries or self.number != 0
        return rest

    # --- connections ------------------------------------------------------------------------------------------------

    def _connect(self, token: str) -> None:
        self._socket = WebSocket(self._session.url, ca_bundle=self._aws.ca_bundle, timeout=_CONNECT_SEC)
        self._socket.send(opening_frame(token))
        self._socket.flush()
        self._heard = time.monotonic()
        self._asked = 0.0

    def _check_life(self, now: float) -> None:
        if self._channel.waits and now - self._channel.progress > _DEAD_SEC:
            raise TransportError(
                f"the SSM agent in the container has acknowledged nothing for {_DEAD_SEC:.0f} s; {KILLED}"
            )
        if now <= self._life_is_due or not self._socket:
            return
        if self._asked:
            self._reconnect("it fell silent")
        else:
            self._asked = now
            self._socket.ping()
            self._flush()

    @property
    def _life_is_due(self) -> float:
        """When the gateway is to be asked, or its answer to be there."""
        if self._asked:
            return self._asked + _SILENT_SEC * 2 / 3
        if self._channel.waits:
            return max(self._heard, self._channel.progress) + _SILENT_SEC * _WAITS_SHARE
        is_at_work = self._heard - self._last_data < _LATELY_SEC
        return self._heard + (_SILENT_SEC / 3 if is_at_work else _SILENT_SEC)

    def _reconnect(self, why: str) -> None:
        """The same session on a new connection. Raises ``TransportError`` where that cannot be."""
        self._disconnect()
        if self._has_said_farewell:
            return
        _log.info("session %s: %s; it is resumed", self.id, why)
        self._fruitless += 1
        if self._fruitless > _FRUITLESS:
            raise TransportError(f"the session breaks as soon as it is resumed: {why}")
        end = time.monotonic() + _RESUME_SEC
        for pause in pauses(0.05, 2.0):
            if self._fruitless > 1 and self._closing.wait(pause):
                return
            failure = self._resume()
            if not failure or self._closing.wait(pause):
                return
            if time.monotonic() > end:
                raise TransportError(f"the session could not be resumed within {_RESUME_SEC:.0f} s: {failure}")

    def _resume(self) -> str:
        """Why it was in vain, if it was. Raises ``TransportError`` where it always will be."""
        try:
            token = fresh_token(self._aws, self._session)
            self._channel.reconnected(time.monotonic())
            self._connect(token)
            self._watch()
            self._resumed()
        except TransportError:
            self._is_ended = True
            raise
        except AwsError as error:
            if error.gone or not error.transient:
                raise TransportError(f"the session cannot be resumed: {error.message}") from error
            return error.message
        except (OSError, WebSocketEnded) as error:
            return str(error) or type(error).__name__
        return ""

    # --- its end ----------------------------------------------------------------------------------------------------

    def say_farewell(self) -> None:
        """So that the agent ends as well, and does not wait for its idle time-out."""
        if self._socket and self._has_answer and not self._has_said_farewell:
            self._has_said_farewell = True
            self._send(PayloadType.FLAG, flag_payload(Flag.TERMINATE_SESSION))
            self._flush()

    @property
    def has_parted(self) -> bool:
        """Whether the other side knows that it is over."""
        return self._is_ended or (self._has_said_farewell and not self._channel.waits)

    @property
    def may_part(self) -> bool:
        """Whether that may still come."""
        return self._socket is not None and self._has_said_farewell and not self.has_parted

    def close(self) -> None:
        """For good, whatever comes of its farewell."""
        try:
            self.say_farewell()
        finally:
            self._disconnect()
            if not self.has_parted:
                end_aside(self._aws, self._session.id)

    def _disconnect(self) -> None:
        if self._socket:
            if self._turns:
                self._turns.forget(self._socket.sock)
            self._socket.close()
            self._socket = None

"""One session: a port of the task reached through the Session Manager, and a tunnel in it.

All of it is one thread that waits for nobody but the network. What goes through it may be cut on its way and go on; if
the session itself ends, so does the tunnel, and another session has another one.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.session_message import (
    CHANNEL_CLOSED,
    Flag,
    MalformedMessage,
    PayloadType,
    content_of,
    flag_payload,
)
from pytest_fargate_sandbox.leaves.smux_frames import MalformedFrame
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.ssm.data_channel import DataChannel
from pytest_fargate_sandbox.providers.ssm.handshake import opening_frame
from pytest_fargate_sandbox.providers.ssm.outer_end import OuterEnd
from pytest_fargate_sandbox.providers.ssm.port_framing import PortFraming
from pytest_fargate_sandbox.providers.ssm.session_calls import fresh_token
from pytest_fargate_sandbox.providers.ssm.web_socket import WebSocket, WebSocketEnded
from pytest_fargate_sandbox.server.tunnel.ready_sockets import READABLE, WRITABLE, Turns
from pytest_fargate_sandbox.server.tunnel.records import Broken

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.leaves.session_message import SessionMessage
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.providers.ssm.bridge_framing import BridgeFraming
    from pytest_fargate_sandbox.providers.ssm.session_calls import StartedSession

MESSAGE_BYTES = 1024
"""As the official client sends them; what the service takes beyond that is not written anywhere."""
_PACE_SEC = 0.0012
"""Between two messages: the official client sleeps 1 ms, which takes 1.06 to 1.6. Those that went faster on AWS report
stalls: https://github.com/aws/session-manager-plugin/issues/145
"""
_CATCH_UP_SEC = 0.005
"""A thread that woke late makes up for so much of it."""

_SILENT_SEC = 10.0
"""Nothing comes for so long, though something must: the connection is dead, whatever TCP says."""
_DEAD_SEC = 30.0
"""The connection is well, and nothing of ours is acknowledged: there is no agent any more."""
_PING_SEC = 60.0
_BEAT_SEC = 240.0
"""Well within the twenty minutes after which a session that says nothing is ended."""
_RESUME_SEC = 60.0
_FRUITLESS = 20
"""Connections in a row on which nothing came."""
KILLED = (
    "whoever is root there can kill it (`kill -9 -1` does), and ECS looks for a dead one only every 15 minutes: start "
    "another sandbox"
)
_LOOK_SEC = 1.0
_FAREWELL_SEC = 0.5
_JOIN_SEC = 5.0
_MOST_ANSWER = 64 * 1024

_log = logging.getLogger(__name__)


class SsmSession:
    """``outer`` is the tunnel's end here. ``opening`` is what makes a tunnel of a connection to the port, if it takes
    anything; ``on_gone`` is called in the session's thread when it is over, with why it is, if nobody wanted that."""

    def __init__(
        self,
        aws: Aws,
        session: StartedSession,
        opening: bytes,
        on_gone: Callable[[], None] = lambda: None,
        framing: PortFraming | BridgeFraming | None = None,
    ) -> None:
        self.id = session.id
        self.why = ""
        self._aws = aws
        self._session = session
        self._opening = opening
        self._framing = framing or PortFraming()
        self._on_gone = on_gone
        self._turns = Turns()
        self.outer = OuterEnd(self._turns, self._framing.most(MESSAGE_BYTES))
        self._channel = DataChannel()
        self._socket: WebSocket | None = None
        self._answer = bytearray()
        self._has_answer = not opening
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._over = threading.Event()
        self._beats = self._fruitless = 0
        self._next_send = self._heard = self._asked = self._beaten = 0.0
        self._thread = threading.Thread(target=self._run, name=f"session {session.id}", daemon=True)

    # --- for any thread ---------------------------------------------------------------------------------------------

    def open(self, timeout: float) -> None:
        """Return when the other end of the tunnel answers. Raises ``TransportError``; it is over then."""
        self._thread.start()
        end = time.monotonic() + timeout
        while not self._ready.wait(0.05) and not self._over.is_set() and time.monotonic() < end:
            pass
        if not self._ready.is_set():
            self.close()
            raise TransportError(self.why or f"nothing answers in the session within {timeout:.0f} s")

    @property
    def is_alive(self) -> bool:
        return not self._over.is_set()

    def answers(self, timeout: float) -> bool:
        """Whether the other end of the tunnel says something now."""
        before, end = self._beats, time.monotonic() + timeout
        if not self._turns.call(self.outer.passage.beat):
            return False
        rests = pauses(0.005, 0.1)
        while self._beats == before and time.monotonic() < end and self.is_alive:
            time.sleep(next(rests))
        return self._beats != before

    def close(self) -> None:
        """End it, and all that goes through it."""
        self._closing.set()
        self._turns.call(lambda: None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SEC)

    # --- its thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._beaten = time.monotonic()
            self.outer.passage.heard_beat = self._take_beat
            self._connect(self._session.token)
            while not self._closing.is_set():
                self._turns.turn(self._patience())
                self._serve(time.monotonic())
            self._say_farewell()
        except (TransportError, AwsError) as error:
            self.why = error.message
        except (Broken, MalformedFrame, MalformedMessage) as error:
            self.why = f"what answers in the session is not the other end of our tunnel: {error}"
        except (OSError, WebSocketEnded) as error:
            self.why = f"the session is lost: {error}"
        finally:
            self._end()

    def _end(self) -> None:
        self._over.set()
        self.outer.passage.close()
        if self._socket:
            self._turns.forget(self._socket.sock)
            self._socket.close()
        self._turns.close()
        if not self._closing.is_set():
            _log.info("session %s is over: %s", self.id, self.why)
            self._on_gone()

    def _patience(self) -> float:
        """How long nothing has to be done unless something comes."""
        now = time.monotonic()
        wait = self._channel.tick(now)
        if self._channel.room > 0 and self.outer.passage.has_more:
            return max(0.0, self._next_send - now)
        return _LOOK_SEC if wait is None else wait

    def _serve(self, now: float) -> None:
        if now - self._beaten >= _BEAT_SEC and self._ready.is_set():
            self._beaten = now
            self.outer.passage.beat()
        self._send_records(now)
        self._flush()
        self._check_life(now)

    def _send_records(self, now: float) -> None:
        passage = self.outer.passage
        while now >= self._next_send and self._channel.room > 0 and self._ready.is_set():
            record = passage.next_record()
            if not record:
                return
            self._send(PayloadType.DATA, self._framing.wrap(record))
            self._next_send = max(self._next_send, now - _CATCH_UP_SEC) + _PACE_SEC

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
        mask = READABLE | (WRITABLE if socket.has_pending else 0)
        self._turns.watch(socket.sock, mask, self._receive)

    # --- what comes -------------------------------------------------------------------------------------------------

    def _receive(self) -> None:
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
        self._flush()

    def _take(self, message: SessionMessage) -> None:
        if message.type == CHANNEL_CLOSED:
            said = str(content_of(message).get("Output") or "").strip()
            raise TransportError(f"the session was ended{': ' + said[:300] if said else ' from the other side'}")
        self._framing.take(message, self._send, self._hear, self._opening)

    def _hear(self, data: bytes) -> None:
        self.outer.passage.take(data if self._has_answer else self._behind_answer(data))

    def _behind_answer(self, data: bytes) -> bytes:
        """What comes once the opening was answered well."""
        self._answer += data
        head, mark, rest = bytes(self._answer).partition(b"\r\n\r\n")
        if not mark and len(self._answer) < _MOST_ANSWER:
            return b""
        status = head.split(b"\r\n")[0].split(b" ")[1:2]
        if status != [b"200"]:
            is_stranger = status == [b"401"]
            raise TransportError(
                "the exec server does not take our token: it is another sandbox's"
                if is_stranger
                else f"the exec server opens no tunnel: {head[:100].decode('latin-1')!r}"
            )
        self._has_answer = True
        return rest

    def _take_beat(self) -> None:
        self._beats += 1
        self._ready.set()

    # --- connections ------------------------------------------------------------------------------------------------

    def _connect(self, token: str) -> None:
        self._socket = WebSocket(self._session.url, ca_bundle=self._aws.ca_bundle)
        self._socket.send(opening_frame(token))
        self._heard = time.monotonic()
        self._asked = 0.0
        self._turns.watch(self._socket.sock, READABLE | WRITABLE, self._receive)

    def _check_life(self, now: float) -> None:
        if self._channel.waits and now - self._channel.progress > _DEAD_SEC:
            raise TransportError(
                f"the SSM agent in the container has acknowledged nothing for {_DEAD_SEC:.0f} s; {KILLED}"
            )
        expects = now - self._channel.progress if self._channel.waits else now - self._asked if self._asked else 0.0
        if expects > _SILENT_SEC and now - self._heard > _SILENT_SEC:
            self._reconnect("it fell silent")
        elif now - self._heard > _PING_SEC and not self._asked and self._socket:
            self._asked = now
            self._socket.ping()

    def _reconnect(self, why: str) -> None:
        """The same session on a new connection. Raises ``TransportError`` where that cannot be."""
        if self._socket:
            self._turns.forget(self._socket.sock)
            self._socket.close()
            self._socket = None
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
        except TransportError:
            raise
        except AwsError as error:
            if error.gone or not error.transient:
                raise TransportError(f"the session cannot be resumed: {error.message}") from error
            return error.message
        except (OSError, WebSocketEnded) as error:
            return str(error) or type(error).__name__
        return ""

    def _say_farewell(self) -> None:
        """So that the agent ends as well, and does not wait for its idle time-out."""
        if self._socket is None or not self._has_answer:
            return
        self._send(PayloadType.FLAG, flag_payload(Flag.TERMINATE_SESSION))
        end = time.monotonic() + _FAREWELL_SEC
        try:
            while self._channel.outgoing or (self._socket and self._socket.has_pending):
                left = end - time.monotonic()
                if left <= 0:
                    return
                while self._channel.outgoing:
                    self._socket.send(self._channel.outgoing.popleft())
                self._socket.flush()
                self._turns.turn(min(left, 0.01))
        except WebSocketEnded:
            pass

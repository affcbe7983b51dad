"""A tunnel through the Session Manager: one session, or several side by side while much is to be carried.

All of it is one thread that waits for nobody but the network. What goes through it may be cut on its way and go on; if
a session itself ends, so does the tunnel, and another session has another one.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import ConfigError, TransportError
from pytest_fargate_sandbox.leaves.session_message import MalformedMessage
from pytest_fargate_sandbox.leaves.smux_frames import MalformedFrame
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.ssm.load_meter import LoadMeter
from pytest_fargate_sandbox.providers.ssm.outer_end import OuterEnd
from pytest_fargate_sandbox.providers.ssm.session_carrier import ServerAwaited
from pytest_fargate_sandbox.providers.ssm.under_way import under_way
from pytest_fargate_sandbox.providers.ssm.web_socket import WebSocketEnded
from pytest_fargate_sandbox.server.tunnel.lane import WINDOW
from pytest_fargate_sandbox.server.tunnel.ready_sockets import Turns
from pytest_fargate_sandbox.server.tunnel.records import Broken

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.providers.ssm.session_carrier import SessionCarrier

_BEAT_SEC = 240.0
"""Well within the twenty minutes after which a session that says nothing is ended."""
_ASK_SEC = 20.0
"""The same while there are streams, so that a tunnel of which something got lost for good does not keep them."""
_MOST_UNANSWERED = 3
_FAREWELL_SEC, _LOOK_SEC = 0.5, 0.01
_JOIN_SEC = 5.0

_log = logging.getLogger(__name__)


class SsmSession:
    """``outer`` is the tunnel's end here.

    All of these are called in its own thread: ``on_gone`` when it is over and nobody wanted that, ``on_load`` when it
    has much to carry, and further carriers would be welcome, ``on_window`` when ``window`` has become another.
    """

    def __init__(
        self,
        carrier: SessionCarrier,
        on_gone: Callable[[], None] = lambda: None,
        on_load: Callable[[SsmSession], None] = lambda _session: None,
        on_window: Callable[[], None] = lambda: None,
    ) -> None:
        self.id = carrier.id
        self.why = ""
        self.failure: Exception | None = None
        self._on_gone, self._on_load, self._on_window = on_gone, on_load, on_window
        self._turns = Turns()
        self.outer = OuterEnd(self._turns, carrier.most)
        self._carriers = [carrier]
        self.window = WINDOW
        """How much of one stream is to be under way from the task."""
        self._load = LoadMeter()
        self._is_wide = False
        self._ready = threading.Event()
        self._closing = threading.Event()
        self._over = threading.Event()
        self._beats = self._unanswered = 0
        self._beaten = 0.0
        self._thread = threading.Thread(target=self._run, name=f"session {self.id}", daemon=True)

    # --- for any thread ---------------------------------------------------------------------------------------------

    def open(self, timeout: float) -> None:
        """Return when the other end of the tunnel answers. Raises ``TransportError``; it is over then."""
        try:
            self._thread.start()
        except RuntimeError as error:
            self._closing.set()
            self._end()
            raise TransportError(f"no thread for a session: {error}") from error
        end = time.monotonic() + timeout
        while not self._ready.wait(0.05) and not self._over.is_set() and time.monotonic() < end:
            pass
        if not self._ready.is_set():
            self.close()
            if isinstance(self.failure, (ConfigError, ServerAwaited)):
                raise self.failure
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

    def join(self, carrier: SessionCarrier) -> None:
        """It is connected, and asks at the other end to be a carrier of this tunnel."""

        def begin() -> None:
            reader = self.outer.passage.further_reader()
            self._begin(carrier, lambda data: self.outer.passage.take(data, reader))
            self._carriers.append(carrier)

        if not self._turns.call(begin):
            carrier.close()

    def close(self) -> None:
        """End it, and all that goes through it."""
        self._closing.set()
        self._turns.call(lambda: None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_SEC)

    # --- its thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        passage = self.outer.passage
        try:
            self._beaten = time.monotonic()
            passage.heard_beat = self._take_beat
            passage.left = self._take_leave
            self._carriers[0].connect()
            self._begin(self._carriers[0], passage.take)
            while not self._closing.is_set():
                self._turns.turn(min(carrier.patience(passage.has_more) for carrier in self._carriers))
                self._serve(time.monotonic())
            self._say_farewell()
        except (TransportError, AwsError, ConfigError) as error:
            self.why, self.failure = error.message, error
        except (Broken, MalformedFrame, MalformedMessage) as error:
            self.why = f"what answers in the session is not the other end of our tunnel: {error}"
        except (OSError, WebSocketEnded) as error:
            self.why = f"the session is lost: {error}"
        finally:
            self._end()

    def _begin(self, carrier: SessionCarrier, take: Callable[[bytes], None]) -> None:
        def hear(data: bytes) -> None:
            self._load.carried(len(data), time.monotonic())
            take(data)

        # What the other end says to a beat comes from behind all that was lost, and tells how much that was.
        carrier.begin(self._turns, hear, self._closing, self.outer.passage.beat)

    def _serve(self, now: float) -> None:
        passage = self.outer.passage
        if self._ready.is_set() and now - self._beaten >= (_ASK_SEC if len(passage) else _BEAT_SEC):
            self._beaten = now
            self._beat()
        for carrier in list(self._carriers):
            self._load.carried(carrier.serve(passage, now), now)
            if carrier.is_over:
                self._drop(carrier)
        self._adapt(now)

    def _beat(self) -> None:
        """Counted, not timed: a thread that was kept from its turns has asked nothing meanwhile."""
        if self._unanswered >= _MOST_UNANSWERED:
            raise TransportError("the other end of the tunnel answers nothing any more, though its sessions are well")
        self._unanswered += 1
        self.outer.passage.beat()

    def _adapt(self, now: float) -> None:
        passage = self.outer.passage
        used = [carrier for carrier in self._carriers if carrier.is_used] or self._carriers[:1]
        size = under_way(len(used), min(carrier.round_trip for carrier in used))
        if size != self.window:
            self.window = size
            passage.have_under_way(size)
            self._on_window()
        if self._load.is_high and not self._is_wide and len(self._carriers) == 1:  # the last ones have gone
            self._is_wide = True
            self._on_load(self)
        elif self._is_wide and self._load.has_fallen(now):
            self._is_wide = False
            for carrier in self._carriers[1:]:
                if not carrier.is_leaving:
                    carrier.is_leaving = True
                    passage.leave(carrier.number)

    def _drop(self, carrier: SessionCarrier) -> None:
        self._carriers.remove(carrier)
        carrier.close()

    def _end(self) -> None:
        """Each of its parts, whatever comes of the others."""
        self._over.set()
        with ExitStack() as last_first:
            last_first.callback(self._tell_end)
            last_first.callback(self._close_carriers)
            last_first.callback(self._turns.close)  # one that joins just now is to be closed as well
            last_first.callback(self.outer.passage.close)

    def _close_carriers(self) -> None:
        with ExitStack() as all_of_them:
            for carrier in self._carriers:
                all_of_them.callback(carrier.close)

    def _tell_end(self) -> None:
        if not self._closing.is_set():
            _log.info("session %s is over: %s", self.id, self.why)
            self._on_gone()

    def _take_beat(self) -> None:
        self._beats += 1
        self._unanswered = 0
        self._carriers[0].carries = True
        self._ready.set()

    def _take_leave(self, number: int) -> None:
        """All has come that went by it, either way."""
        for carrier in self._carriers:
            carrier.is_over = carrier.is_over or (carrier.is_leaving and carrier.number == number)

    def _say_farewell(self) -> None:
        end = time.monotonic() + _FAREWELL_SEC
        for carrier in self._carriers:
            carrier.say_farewell()
        while any(carrier.may_part for carrier in self._carriers) and time.monotonic() < end:
            self._turns.turn(_LOOK_SEC)

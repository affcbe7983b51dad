"""What the engine's faults do to the messages of one session on their way through the gateway."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.session_message import ACKNOWLEDGE, INPUT, PayloadType
from pytest_fargate_sandbox.local.ssm.relay_words import Mark

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.faults import Faults

_EVERY = 10
"""Messages, of a session: were all struck that come one after another, nothing would ever pass."""
_TYPE = slice(4, 36)
_PAYLOAD_TYPE = slice(112, 116)
_DATA = int(PayloadType.DATA).to_bytes(4, "big")


class RelayFaults:
    """Of one direction of one session."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._spared = {"ssm-double": _EVERY, "ssm-lost-ack": _EVERY}

    @property
    def delay(self) -> float:
        return self._faults.value("ssm-slow")

    def mark(self, frame: bytes) -> Mark:
        """Of a message to the agent."""
        is_data = message_type(frame) == INPUT.encode() and frame[_PAYLOAD_TYPE] == _DATA
        return Mark.DOUBLE if is_data and self._strikes("ssm-double") else Mark.NONE

    def loses(self, frame: bytes) -> bool:
        return message_type(frame) == ACKNOWLEDGE.encode() and self._strikes("ssm-lost-ack")

    def _strikes(self, fault: str) -> bool:
        self._spared[fault] += 1
        if self._spared[fault] <= _EVERY or not self._faults.take(fault):
            return False
        self._spared[fault] = 0
        return True


class DelayLine:
    """Hands on what it is given, in order, ``delay()`` seconds later; at once, by the caller, where that is 0."""

    def __init__(self, hand_on: Callable[[bytes], object], delay: Callable[[], float]) -> None:
        self._hand_on, self._delay = hand_on, delay
        self._changed = threading.Condition()
        self._held: deque[tuple[float, bytes]] = deque()
        self._works = False

    def put(self, frame: bytes) -> None:
        delay = self._delay()
        with self._changed:
            is_direct = not delay and not self._works
            if not is_direct:
                self._held.append((time.monotonic() + delay, frame))
                if not self._works:
                    self._works = True
                    threading.Thread(target=self._work, name="ssm-delay", daemon=True).start()
        if is_direct:
            self._hand_on(frame)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._held:
                    self._works = False
                    return
                due, frame = self._held[0]
            time.sleep(max(0.0, due - time.monotonic()))
            self._hand_on(frame)
            with self._changed:
                self._held.popleft()


def message_type(frame: bytes) -> bytes:
    return frame[_TYPE].strip(b" \0")

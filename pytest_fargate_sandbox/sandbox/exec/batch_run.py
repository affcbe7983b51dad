"""Many commands in slots, as their client sees them: asked for in one request, and each run once whatever breaks."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError, TransportError
from pytest_fargate_sandbox.sandbox.exec.exec_calls import Answer, ExecCalls, error_of, misbehaviour
from pytest_fargate_sandbox.sandbox.exec.exec_frames import Streams
from pytest_fargate_sandbox.sandbox.exec.exec_run import kill_quietly, result_of
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.requests.http1 import MAX_INLINE, Disconnected, Malformed
from pytest_fargate_sandbox.server.slots.slot_protocol import ENDED, FAILED, MOST_RUNS, RunMany

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_fargate_sandbox.leaves.results import ExecResult
    from pytest_fargate_sandbox.sandbox.exec.patience import Patience
    from pytest_fargate_sandbox.server.slots.slot_protocol import SlotRun

_FRUITLESS_ATTEMPTS = 5
_MOST_BYTES = MAX_INLINE // 2


class BatchRun:
    """``outcomes`` has what is known by the place in the request, also where the rest cannot be had."""

    def __init__(self, calls: ExecCalls, requests: Sequence[SlotRun]) -> None:
        self._calls = calls
        self._requests = requests
        self.outcomes: dict[int, ExecResult | SandboxError] = {}
        self._beats = Streams(0, 0, calls.limits.idle_heartbeats)

    def to_end(self) -> None:
        try:
            while len(self.outcomes) < len(self._requests):
                self._persist(self._next())
        except Failure as failure:
            raise error_of(failure) from None
        except Malformed as reason:
            raise misbehaviour(reason) from reason
        except BaseException:
            for request in self._under_way():
                kill_quietly(self._calls, request.id)
            raise

    def _next(self) -> list[int]:
        """Those that are asked for next: as many as one request has room for."""
        room, taken = _MOST_BYTES, 0
        missing = self._missing()[:MOST_RUNS]
        for place in missing:
            room -= len(self._requests[place].to_json())
            if room < 0 and taken:
                break
            taken += 1
        return missing[:taken]

    def _missing(self) -> list[int]:
        return [place for place in range(len(self._requests)) if place not in self.outcomes]

    def _under_way(self) -> list[SlotRun]:
        """Of each slot the first that has no outcome; behind it nothing is begun for who has gone."""
        first: dict[str, SlotRun] = {}
        for place in self._missing():
            first.setdefault(self._requests[place].lease, self._requests[place])
        return list(first.values())

    def _persist(self, places: list[int]) -> None:
        """Ask for these; where the connection breaks, for those that are still missing."""
        endurance = self._calls.endurance(_FRUITLESS_ATTEMPTS)
        patience = self._calls.patience(self._longest(places), self._calls.limits.silence_sec)
        while places:
            before = self._news
            try:
                self._ask(places, patience)
            except (Disconnected, TransportError) as reason:
                if self._news > before:
                    endurance.begin_anew()
                if endurance.ends(broke=isinstance(reason, Disconnected)):
                    if isinstance(reason, TransportError):
                        raise
                    raise TransportError(f"lost the exec server while a batch ran: {reason}") from reason
                rest = endurance.rest()
                patience.spend(rest)
                time.sleep(rest)
            places = [place for place in places if place not in self.outcomes]

    @property
    def _news(self) -> int:
        return len(self.outcomes) + self._beats.news

    def _ask(self, places: list[int], patience: Patience) -> None:
        lines = b"".join(self._requests[place].to_json() for place in places)
        with self._calls.open(RunMany(count=len(places)), lines, patience=patience) as answer:
            self._listen(answer, places)

    def _longest(self, places: list[int]) -> float:
        """That of the slot whose commands, one behind the other, may take the longest."""
        by_slot: dict[str, float] = {}
        for request in (self._requests[place] for place in places):
            longest = float("inf") if request.timeout is None else request.timeout + self._calls.limits.grace_sec
            by_slot[request.lease] = by_slot.get(request.lease, 0.0) + longest
        return max(by_slot.values())

    def _listen(self, answer: Answer, places: list[int]) -> None:
        told: set[int] = set()
        while len(told) < len(places):
            kind, size = protocol.parse_frame_head(answer.payload.read_exactly(protocol.FRAME_HEAD_SIZE))
            if kind == protocol.HEARTBEAT:
                self._beats.count_heartbeat(size)
                continue
            if kind not in (ENDED, FAILED) or size >= len(places) or size in told:
                raise Malformed(f"{kind!r} of command {size}, where {len(places)} were asked for")
            told.add(size)
            place = places[size]
            self.outcomes[place] = self._failed(answer) if kind == FAILED else self._ended(answer, place)
        answer.end()

    def _failed(self, answer: Answer) -> SandboxError:
        _, size = protocol.parse_frame_head(answer.payload.read_exactly(protocol.FRAME_HEAD_SIZE))
        if size > self._calls.limits.failure_bytes:
            raise Malformed(f"a failure of {size} bytes")
        return error_of(Failure.from_json(answer.payload.read_exactly(size)))

    def _ended(self, answer: Answer, place: int) -> ExecResult:
        request = self._requests[place]
        streams = Streams(request.limit, request.limit, self._calls.limits.idle_heartbeats)
        result = streams.read_frames(answer)
        stdout, stderr = (streams.of[kind].bytes() for kind in (protocol.STDOUT, protocol.STDERR))
        if result.running or result.stdout_total < len(stdout) or result.stderr_total < len(stderr):
            raise Malformed(f"an end before the end, or with less than the {len(stdout)} and {len(stderr)} that came")
        done = result_of(result, request.command, stdout, stderr)
        if request.timeout == 0:  # a quick one may have come to its end all the same
            return replace(done, return_code=protocol.CODE_TIMED_OUT, timed_out=True)
        return done

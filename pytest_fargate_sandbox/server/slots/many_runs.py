"""Many commands in many slots, asked for in one request: each is answered as soon as it has ended."""

import queue
import select
import threading

from pytest_fargate_sandbox.server.commands.pipes import Pipes
from pytest_fargate_sandbox.server.commands.waker import Waker
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import HEARTBEAT, HEARTBEAT_SEC, RESULT, STDERR, STDOUT, frame_head
from pytest_fargate_sandbox.server.requests.http1 import answer_head, last_chunk, send_chunked
from pytest_fargate_sandbox.server.slots.slot_protocol import ENDED, FAILED, RunMany, SlotRun
from pytest_fargate_sandbox.server.slots.tenant import gone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Iterator

    from pytest_fargate_sandbox.server.commands.command import Command
    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.requests.verbs import Verbs

_HUNG_UP = 0x2000
"""POLLRDHUP in poll(2), which Python 3.6 does not name."""
_LONGEST = 16 * 1024 * 1024


def run_many(verbs: "Verbs", exchange: "Exchange", request: RunMany) -> None:
    runs = [SlotRun.from_json(exchange.payload.read_line(_LONGEST)) for _ in range(request.count)]
    with verbs.commands.last_words:
        _ManyRuns(verbs, exchange, runs).answer()


class _ManyRuns:
    def __init__(self, verbs: "Verbs", exchange: "Exchange", runs: "list[SlotRun]") -> None:
        self._verbs = verbs
        self._exchange = exchange
        self._runs = runs
        self._ended: "queue.Queue[tuple[int, Command | Failure]]" = queue.Queue()
        self._is_over = False

    def answer(self) -> None:
        by_lease: "dict[str, list[int]]" = {}
        for place, run in enumerate(self._runs):
            by_lease.setdefault(run.lease, []).append(place)
        try:
            for places in by_lease.values():
                self._begin(places)
            self._tell_all()
        finally:
            self._is_over = True

    def _begin(self, places: "list[int]") -> None:
        try:
            threading.Thread(target=self._carry_out, args=(places,), name="many runs", daemon=True).start()
        except RuntimeError:
            failure = Failure("too_many", "no thread is left for the commands of another slot")
            for place in places:
                self._ended.put((place, failure))

    # --- one slot ---------------------------------------------------------------------------------------------------
    def _carry_out(self, places: "list[int]") -> None:
        """One behind the other. Once nobody listens any more, none is begun: who comes back asks again."""
        waker = Waker()
        try:
            for place in places:
                if self._is_over or _has_hung_up(self._exchange.fileno()):
                    return
                self._ended.put((place, self._outcome(self._runs[place], waker)))
        finally:
            waker.close()

    def _outcome(self, run: SlotRun, waker: Waker) -> "Command | Failure":
        try:
            tenant = self._verbs.tenant_of(run.lease)
            with tenant.serving(self._exchange, False):
                return self._ended_command(run, tenant, waker)
        except Failure as failure:
            return failure
        except OSError as error:
            return Failure.of_os_error(error)
        except Exception as error:  # a bug of ours, of which whoever waits hears
            return Failure("internal", "the server failed: %r" % error)

    def _ended_command(self, run: SlotRun, tenant: "object", waker: Waker) -> "Command":
        commands = self._verbs.commands
        command, is_new = commands.claim(run, tenant)  # type: ignore[arg-type]
        if is_new:
            command.intake.fill(b"")
            pump = commands.begin(command, run, waker, Pipes(has_stdin=False))
            if pump:
                commands.drive(command, pump)
        with command.changed:
            while not command.ended:
                command.changed.wait()
        if command.failure:
            raise command.failure
        return command

    # --- the answer -------------------------------------------------------------------------------------------------
    def _tell_all(self) -> None:
        left = len(self._runs)
        unsent = answer_head(200, None, self._exchange.keep_alive)
        while left:
            ended = self._news()
            left -= len(ended)
            self._send(send_chunked(self._send, unsent, self._frames(ended)))
            unsent = b""
        self._send(last_chunk())
        self._exchange.acknowledges = tuple(run.id for run in self._runs)

    def _news(self) -> "list[tuple[int, Command | Failure]]":
        """Those that have ended by now; none, if for the time of a heartbeat none has."""
        found = []
        try:
            found.append(self._ended.get(timeout=HEARTBEAT_SEC))
            while True:
                found.append(self._ended.get_nowait())
        except queue.Empty:
            return found

    def _frames(self, ended: "list[tuple[int, Command | Failure]]") -> "Iterator[bytes]":
        if not ended:
            yield frame_head(HEARTBEAT, 0)
        for place, outcome in ended:
            yield self._told(place, outcome)

    def _told(self, place: int, outcome: "Command | Failure") -> bytes:
        try:
            if isinstance(outcome, Failure):
                raise outcome
            return frame_head(ENDED, place) + _answer_of(outcome, self._runs[place].limit)
        except Failure as failure:
            text = failure.to_json()
            return frame_head(FAILED, place) + frame_head(RESULT, len(text)) + text

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._exchange.send(view, True) :]


def _has_hung_up(connection: int) -> bool:
    """Found out before anything is sent to him: what is sent first would seem to arrive."""
    poller = select.poll()
    if connection >= 0:
        poller.register(connection, _HUNG_UP)
    return connection < 0 or bool(poller.poll(0))


def _answer_of(command: "Command", limit: int) -> bytes:
    """As frames. What was dropped since it ended is not told, like all that is another's by now."""
    text = command.result(limit).to_json()
    parts = []
    with command.changed:
        if command.is_dropped:
            raise gone()
        for kind in (STDOUT, STDERR):
            data = command.outputs[kind].read(0, limit)
            parts += [frame_head(kind, len(data)), data] if data else []
    return b"".join(parts) + frame_head(RESULT, len(text)) + text

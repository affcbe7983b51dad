"""One end of a tunnel: its streams, whatever carries their records. In one thread, but for ``Turns.call``."""

import collections
import socket
import struct

from pytest_fargate_sandbox.server.tunnel.lane import WINDOW, Lane
from pytest_fargate_sandbox.server.tunnel.ready_sockets import READABLE, WRITABLE, Turns
from pytest_fargate_sandbox.server.tunnel.records import (
    BEAT,
    DATA,
    END,
    HEAD_SIZE,
    LEAVE,
    LISTEN,
    MAX_DATA,
    OPEN,
    OPENED,
    REFUSED,
    RESET,
    ROOM,
    Broken,
    Order,
    Record,
    RecordReader,
    RecordWriter,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_ROOM = struct.Struct(">I")
_OVER = b"the tunnel has ended"
_MAX_CONTROL = 4096
"""Records that were made and not fetched: beyond that the other end asks, and takes no answers."""


class Passage:
    """What comes in goes through ``take``; what is to go out is fetched with ``next_record``.

    ``asked`` is told what the other end asks for: ``OPEN`` or ``LISTEN``, with its stream and what that names. The
    answer is ``lead`` or ``refuse``, or ``answer``. Our own ``ask`` is answered through its ``answered``.
    """

    def __init__(self, turns: Turns, asked: "Callable[[Record], None]", first: int, most: int = MAX_DATA) -> None:
        """``first`` is 1 for who asks first, or 2; ``most`` how long a record may be, with its head."""
        self.turns = turns
        self.heard_beat: "Callable[[], None]" = self._beat_back if first == 2 else lambda: None
        self.wanted: "Callable[[], None]" = lambda: None
        """Called when there is a record to be fetched, where there was none."""
        self.left: "Callable[[int], None]" = lambda _carrier: None
        """Told which carrier the other end has taken leave of."""
        self._asked = asked
        self._window = WINDOW
        self._next_stream = first
        self._most = min(most - HEAD_SIZE, MAX_DATA)
        self._order = Order()
        self._reader = RecordReader(self._order)
        self._writer = RecordWriter()
        self._lanes: "dict[int, Lane]" = {}
        self._answered: "dict[int, Callable[[Record], None]]" = {}
        self._control: "collections.deque[tuple[int, int, bytes]]" = collections.deque()
        self._ready: "collections.deque[Lane]" = collections.deque()
        self._closed = False
        self._acts: "dict[int, Callable[[Record], None]]" = {
            OPENED: self._take_answer,
            REFUSED: self._take_answer,
            OPEN: asked,
            LISTEN: asked,
            DATA: self._take_data,
            ROOM: self._take_room,
            END: self._take_end,
            RESET: self._take_reset,
            BEAT: lambda _record: self.heard_beat(),
            LEAVE: lambda record: self.left(record.stream),
        }

    def __len__(self) -> int:
        """How many streams it has."""
        return len(self._lanes)

    # --- what is carried --------------------------------------------------------------------------------------------
    def further_reader(self) -> RecordReader:
        """For ``take``, of what another carrier brings: records may overtake each other from now on."""
        self._order.is_shared = True
        return RecordReader(self._order)

    def have_under_way(self, size: int) -> None:
        """So much of each stream to here, from now on."""
        self._window = size
        for lane in self._lanes.values():
            self._give_room(lane)

    def take(self, data: bytes, reader: "RecordReader | None" = None) -> None:
        """From the other end. Raises ``Broken``: nothing more can come of it then."""
        for record in (reader or self._reader).feed(data):
            if record.kind not in self._acts:
                raise Broken("there is no record of the kind %d" % record.kind)
            self._acts[record.kind](record)
            if len(self._control) > _MAX_CONTROL:
                raise Broken("the other end asks and does not listen")

    @property
    def has_more(self) -> bool:
        return bool(self._control or self._ready)

    def next_record(self) -> bytes:
        """The next one for the other end, or nothing: each stream that has something has its turn."""
        if self._control:
            return self._writer.record(*self._control.popleft())
        while self._ready:
            lane = self._ready.popleft()
            lane.is_queued = False
            data = self._read(lane)
            if data is not None:
                return self._writer.record(DATA if data else END, lane.stream, data)
        return b""

    def _read(self, lane: Lane) -> "bytes | None":
        """None where there is nothing to be had."""
        if not lane.may_read or self._lanes.get(lane.stream) is not lane:
            return None
        try:
            data = lane.read(self._most)
        except BlockingIOError:
            data = None
        except OSError:
            self._break(lane)
            return None
        if data and len(data) == self._most and lane.may_read:
            self._queue(lane)
        self._settle(lane)
        return data

    # --- what both ends ask -----------------------------------------------------------------------------------------
    def ask(self, kind: int, data: bytes, answered: "Callable[[Record], None]", sock: "socket.socket | None") -> int:
        """For a stream whose half ``sock`` is, or for a listener; which number it has."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        if self._closed:
            if sock:
                sock.close()
            answered(Record(REFUSED, stream, _OVER))
            return stream
        if sock:
            self._lanes[stream] = Lane(stream, sock)
        self._answered[stream] = answered
        self._say(kind, stream, data)
        return stream

    def lead(self, stream: int, sock: socket.socket) -> None:
        """The other end's stream has its half here, which may still be connecting: ``connected`` says when it is."""
        if stream in self._lanes:
            raise Broken("there is a stream %d" % stream)
        self._lanes[stream] = Lane(stream, sock)

    def connected(self, stream: int) -> None:
        lane = self._lanes.get(stream)
        if lane:
            self._say(OPENED, stream)
            self._open(lane)

    def refuse(self, stream: int, why: str) -> None:
        lane = self._lanes.pop(stream, None)
        if lane:
            self._close(lane)
        self._say(REFUSED, stream, why.encode("utf-8", "replace"))

    def answer(self, stream: int, data: bytes) -> None:
        self._say(OPENED, stream, data)

    def beat(self) -> None:
        self._say(BEAT, 0)

    def leave(self, carrier: int) -> None:
        """Nothing may be sent by it any more."""
        self._say(LEAVE, carrier)

    def break_off(self, stream: int) -> None:
        """End it, if it is there."""
        self._answered.pop(stream, None)
        lane = self._lanes.get(stream)
        if lane:
            self._break(lane)

    def close(self) -> None:
        """Break off all of them; who waits for an answer is refused."""
        self._closed = True
        lanes, answered = list(self._lanes.values()), list(self._answered.items())
        self._lanes.clear()
        self._answered.clear()
        for lane in lanes:
            self._close(lane)
        for stream, tell in answered:
            tell(Record(REFUSED, stream, _OVER))

    # --- records ----------------------------------------------------------------------------------------------------
    def _take_answer(self, record: Record) -> None:
        tell = self._answered.pop(record.stream, None)
        if not tell:
            return
        lane = self._lanes.get(record.stream)
        if lane and record.kind == OPENED:
            self._open(lane)
        elif lane:
            del self._lanes[record.stream]
            self._close(lane)
        tell(record)

    def _take_data(self, record: Record) -> None:
        lane = self._lanes.get(record.stream)
        if lane:
            lane.take(record.data)
            self._write(lane)

    def _take_end(self, record: Record) -> None:
        lane = self._lanes.get(record.stream)
        if lane:
            lane.take_end()
            self._write(lane)

    def _take_room(self, record: Record) -> None:
        lane = self._lanes.get(record.stream)
        if lane:
            if len(record.data) != _ROOM.size:
                raise Broken("that is no number of bytes")
            lane.room += _ROOM.unpack(record.data)[0]
            self._settle(lane)

    def _take_reset(self, record: Record) -> None:
        lane = self._lanes.pop(record.stream, None)
        if lane:
            self._close(lane)

    def _beat_back(self) -> None:
        self.beat()

    # --- sockets ----------------------------------------------------------------------------------------------------
    def _open(self, lane: Lane) -> None:
        lane.is_open = True
        self._write(lane)

    def _write(self, lane: Lane) -> None:
        if not lane.is_open:
            return
        try:
            lane.write()
        except OSError:
            self._break(lane)
            return
        self._give_room(lane)
        self._settle(lane)

    def _give_room(self, lane: Lane) -> None:
        lane.window = self._window
        more = lane.further_room() if lane.is_open else 0
        if more:
            self._say(ROOM, lane.stream, _ROOM.pack(more))

    def _settle(self, lane: Lane) -> None:
        """Watch it for what it can do next; forget it when it is done."""
        if not lane.is_open:
            return
        if lane.is_done:
            self._lanes.pop(lane.stream, None)
            self.turns.forget(lane.sock)
            lane.sock.close()
            return
        mask = READABLE if lane.may_read and not lane.is_queued else 0
        if lane.has_pending:
            mask |= WRITABLE
        self.turns.watch(lane.sock, mask, lambda: self._act(lane))

    def _act(self, lane: Lane) -> None:
        if lane.may_read:
            self._queue(lane)
        if lane.has_pending:
            self._write(lane)
        else:
            self._settle(lane)

    def _queue(self, lane: Lane) -> None:
        if not lane.is_queued:
            lane.is_queued = True
            self._ready.append(lane)
            self.wanted()

    def _break(self, lane: Lane) -> None:
        """Its socket is gone, or nobody wants it any more."""
        if self._lanes.pop(lane.stream, None):
            self._say(RESET, lane.stream)
            self._close(lane)

    def _close(self, lane: Lane) -> None:
        self.turns.forget(lane.sock)
        lane.reset()

    def _say(self, kind: int, stream: int, data: bytes = b"") -> None:
        self._control.append((kind, stream, data))
        self.wanted()

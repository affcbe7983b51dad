"""Numbered records, the unit in which all goes through a tunnel.

The SSM agent hands on a message twice when its own connection breaks at the wrong moment. So a record is never spread
over two messages, and its number tells whether it came before.
"""

import struct

OPEN, OPENED, REFUSED, DATA, ROOM, END, RESET, LISTEN, BEAT, LEAVE = range(10)
"""``OPEN`` names the port that the stream is for; from inside, the listener that it came to. ``OPENED`` and ``REFUSED``
answer it, and ``LISTEN``, with the port or with why not. ``ROOM``: so many more bytes may come. ``END``: of one
direction. ``RESET``: of both, at once. A ``BEAT`` says that somebody is there; to one of the client's comes another.
``LEAVE``: nothing more comes by the carrier of that number, and nothing more is to go by it; another one answers it.
"""

_HEAD = struct.Struct(">IHBI")
HEAD_SIZE = _HEAD.size
MAX_DATA = 0xFFFF
_NUMBERS = 1 << 32
_FIRST = b"\0\0\0\0"
MARK = _HEAD.pack(0, 0, BEAT, 0)
"""With what is sent by a further carrier before anything else: of this number there was one long before."""
_COST = 256
"""Of a record that is kept, in bytes, beside its data."""
_MOST_EARLY = 16 * 1024 * 1024
"""Bytes that overtook others on their way."""


class Broken(Exception):
    """What came is not what the other end of a tunnel would say."""


class Record:
    """``stream`` is what it is about; the end that asks first has odd numbers, the other one even ones."""

    def __init__(self, kind: int, stream: int, data: bytes = b"") -> None:
        self.kind = kind
        self.stream = stream
        self.data = data


class RecordWriter:
    def __init__(self) -> None:
        self._next = 0

    def record(self, kind: int, stream: int, data: bytes = b"") -> bytes:
        number, self._next = self._next, (self._next + 1) % _NUMBERS
        return _HEAD.pack(number, len(data), kind, stream) + data


class Order:
    """Puts records in order that may come twice; where a tunnel has several carriers, they also overtake each other."""

    def __init__(self) -> None:
        self.is_shared = False
        """Whether there are several carriers."""
        self._expected = 0
        self._early: "dict[int, Record]" = {}
        self._early_bytes = 0

    def take(self, number: int, record: Record) -> "list[Record]":
        """What has its turn now. Raises ``Broken`` where one is missing that cannot be on its way."""
        ahead = (number - self._expected) % _NUMBERS
        if ahead >= _NUMBERS // 2:
            return []
        if ahead:
            self._keep(number, record)
            return []
        ready = [record]
        self._expected = (number + 1) % _NUMBERS
        while self._expected in self._early:
            ready.append(self._early.pop(self._expected))
            self._early_bytes -= len(ready[-1].data) + _COST
            self._expected = (self._expected + 1) % _NUMBERS
        return ready

    def _keep(self, number: int, record: Record) -> None:
        if number not in self._early:
            self._early[number] = record
            self._early_bytes += len(record.data) + _COST
        if not self.is_shared or self._early_bytes > _MOST_EARLY:
            raise Broken("record %d comes, and %d is the next one" % (number, self._expected))


class RecordReader:
    """Of one carrier. What is before its first record is a request that came twice: it has no zeros in it, and the
    first number has."""

    def __init__(self, order: Order) -> None:
        self.has_begun = False
        self._order = order
        self._buffer = bytearray()

    def feed(self, data: bytes) -> "list[Record]":
        """Those that have their turn now. Raises ``Broken``."""
        self._buffer += data
        if not self.has_begun and not self._begin():
            return []
        records: "list[Record]" = []
        at = 0
        while len(self._buffer) - at >= HEAD_SIZE:
            number, length, kind, stream = _HEAD.unpack_from(self._buffer, at)
            end = at + HEAD_SIZE + length
            if end > len(self._buffer):
                break
            records += self._order.take(number, Record(kind, stream, bytes(self._buffer[at + HEAD_SIZE : end])))
            at = end
        del self._buffer[:at]
        return records

    def _begin(self) -> bool:
        found = self._buffer.find(_FIRST)
        self.has_begun = found >= 0
        del self._buffer[: found if self.has_begun else -3]
        return self.has_begun
